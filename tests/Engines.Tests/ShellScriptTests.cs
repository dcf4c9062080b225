namespace DistTrain.Engines.Tests;

/// <summary>The shell scripts as bash and shellcheck read them.</summary>
public sealed class ShellScriptTests
{
    public static TheoryData<string> Scripts => [.. new[] { "deploy/sbatch/train.sbatch", "deploy/mpirun/train.sh", "tests/Engines.Tests/slurm-up.sh", "tests/Engines.Tests/engines-install.sh" }];

    [Theory]
    [MemberData(nameof(Scripts))]
    public void Bash_can_parse_it(string path)
    {
        CommandResult result = Command.Run([], "bash", "-n", Path.Combine(Repository.Root, path));
        Assert.True(result.ExitCode == 0, result.ToString());
    }

    [Theory]
    [MemberData(nameof(Scripts))]
    public void Shellcheck_finds_nothing(string path)
    {
        Assert.SkipWhen(Command.Find("shellcheck") is null, "shellcheck is not installed (Debian: apt-get install shellcheck)");
        CommandResult result = Command.Run([], "shellcheck", Path.Combine(Repository.Root, path));
        Assert.True(result.ExitCode == 0, result.ToString());
    }

    [Theory]
    [MemberData(nameof(Scripts))]
    public void It_can_be_started(string path) => Assert.True(File.GetUnixFileMode(Path.Combine(Repository.Root, path)).HasFlag(UnixFileMode.UserExecute));
}
