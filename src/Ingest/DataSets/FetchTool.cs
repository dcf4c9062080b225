using System.ComponentModel;
using System.Diagnostics;

namespace DistTrain.Ingest;

/// <summary>A program of the operating system that fetching needs.</summary>
/// <param name="Program">Its name, looked up in PATH, or its path.</param>
/// <param name="Advice">What to do if it is missing or fails.</param>
internal sealed record FetchTool(string Program, string Advice)
{
    private const string OtherWay = "on other systems download the four files from github.com/zalandoresearch/fashion-mnist (data/fashion) and use: disttrain data fetch fashion-mnist --from DIRECTORY";

    internal static FetchTool AptGet { get; } = new("apt-get", $"on Debian and Ubuntu, `apt-get update` may be needed first; {OtherWay}");

    internal static FetchTool DpkgDeb { get; } = new("dpkg-deb", OtherWay);

    /// <summary>Runs the program and waits for it to end well.</summary>
    /// <exception cref="DataSetFetchException">It is missing, fails, or takes longer than <paramref name="timeout"/>.</exception>
    internal void Run(string workingDirectory, TimeSpan timeout, CancellationToken cancellationToken, params string[] arguments)
    {
        ProcessStartInfo start = new(Program, arguments)
        {
            WorkingDirectory = workingDirectory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["LC_ALL"] = "C";
        using Process process = Start(start);
        process.StandardInput.Close();
        // Both pipes are drained while waiting: a full one would stop the program.
        Task<string> output = process.StandardOutput.ReadToEndAsync(CancellationToken.None), errors = process.StandardError.ReadToEndAsync(CancellationToken.None);
        if (!WaitForExit(process, timeout, cancellationToken))
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
            cancellationToken.ThrowIfCancellationRequested();
            throw new DataSetFetchException($"{CommandLine(arguments)} did not end within {timeout.TotalSeconds:N0} s and was stopped; {Advice}");
        }
        if (process.ExitCode == 0) return;
        string said = string.Join(" ", new[] { errors.Result.Trim(), output.Result.Trim() }.Where(text => text.Length > 0));
        throw new DataSetFetchException($"{CommandLine(arguments)} failed (exit status {process.ExitCode}): {said}\n{Advice}");
    }

    private Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception cause)
        {
            throw new DataSetFetchException($"can't run {Program}: {cause.Message}; {Advice}", cause);
        }
    }

    private static bool WaitForExit(Process process, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(timeout);
        try
        {
            process.WaitForExitAsync(limit.Token).GetAwaiter().GetResult();
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private string CommandLine(string[] arguments) => $"`{Program} {string.Join(' ', arguments)}`";
}
