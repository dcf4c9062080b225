namespace DistTrain.Engines.Tests;

/// <summary>Two virtual Slurm nodes on this host for the tests of one class; gone with it, or with this process. Where Slurm is not installed, <see cref="Use"/> skips.</summary>
public sealed class SlurmCluster : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly System.Diagnostics.Process _process;
    private readonly string? _problem;

    public SlurmCluster()
    {
        System.Diagnostics.ProcessStartInfo start = new("bash", [Path.Combine(AppContext.BaseDirectory, "slurm-up.sh"), _folder.Path])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        _process = System.Diagnostics.Process.Start(start)!;
        Task<string> errors = _process.StandardError.ReadToEndAsync();
        Task<string?> ready = _process.StandardOutput.ReadLineAsync();
        bool answered = ready.Wait(TimeSpan.FromSeconds(40));
        if (answered && ready.Result is not null) return;
        _process.StandardInput.Close();
        _process.WaitForExit(20_000);
        _problem = _process.ExitCode == 3 ? $"Slurm is not installed: {errors.Result.Trim()}" : "failed: " + errors.Result;
    }

    internal string Folder => _folder.Path;

    internal (string, string?) Variable => ("SLURM_CONF", Path.Combine(_folder.Path, "slurm.conf"));

    /// <summary>The nodes are one host with one name: Open MPI must not take ranks of both for neighbours in one memory.</summary>
    internal static (string, string?) OneHost => ("OMPI_MCA_btl", "self,tcp");

    /// <summary>Skips the test where there is no Slurm, fails it where there is one that does not start.</summary>
    internal void Use()
    {
        Assert.SkipWhen(_problem?.StartsWith("Slurm is not installed", StringComparison.Ordinal) == true, _problem ?? "");
        Assert.True(_problem is null, _problem);
    }

    internal CommandResult Run(string program, params string[] arguments) => Command.Run([Variable], program, arguments);

    /// <summary>Submits a batch job; returns its number.</summary>
    internal string Submit((string Name, string? Value)[] environment, params string[] arguments)
    {
        CommandResult result = Command.Run([Variable, .. environment], "sbatch", ["--parsable", .. arguments]);
        Assert.True(result.ExitCode == 0, result.ToString());
        return result.Output.Trim();
    }

    /// <summary>One field of a job (scontrol show job).</summary>
    internal string Field(string job, string name) =>
        Run("scontrol", "show", "job", job).Output.Split([' ', '\n']).First(word => word.StartsWith(name + "=", StringComparison.Ordinal))[(name.Length + 1)..];

    /// <summary>Waits until something holds; fails after some seconds with what the job says.</summary>
    internal void Until(string job, Func<bool> holds, int seconds = 30)
    {
        long end = Environment.TickCount64 + (seconds * 1000);
        while (!holds())
        {
            Assert.True(Environment.TickCount64 < end, Run("scontrol", "show", "job", job).ToString());
            Thread.Sleep(100);
        }
    }

    public void Dispose()
    {
        if (_problem is null)
        {
            _process.StandardInput.Close();
            bool ended = _process.WaitForExit(20_000);
            if (!ended) _process.Kill(entireProcessTree: true);
            Processes.AssertNone(() => Processes.WithEnvironment("SLURM_CONF=" + _folder.Path));
            Assert.True(ended, "the Slurm cluster did not end within 20 s");
        }
        _process.Dispose();
        _folder.Dispose();
    }
}
