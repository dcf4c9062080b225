using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace DistTrain.Cli.Tests;

/// <summary><c>disttrain launch</c> left running, for tests that do something to it. Killed with the test, by its own process alone.</summary>
internal sealed partial class Launched : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(30);
    private readonly Process _process;
    private readonly Task<string> _errors;

    public Launched(params string[] arguments)
        : this([], arguments)
    {
    }

    public Launched((string Name, string? Value)[] environment, string[] arguments)
    {
        _process = Tool.BeginWith(environment, ["launch", .. arguments]);
        _errors = _process.StandardError.ReadToEndAsync();
    }

    public StreamReader Output => _process.StandardOutput;

    public void Signal(int signal) => Assert.Equal(0, Kill(_process.Id, signal));

    /// <returns>Exit code, what is left of the output, and the error output.</returns>
    public ToolResult AwaitEnd()
    {
        Task<string> output = _process.StandardOutput.ReadToEndAsync();
        Assert.True(_process.WaitForExit(s_limit), "the launcher did not end");
        return new ToolResult(_process.ExitCode, output.Result, _errors.Result);
    }

    public bool WaitForExit() => _process.WaitForExit(s_limit);

    /// <summary>Reads lines until there are as many that end with a word, and returns the numbers before it: <c>[0] 1234 ready</c>.</summary>
    public int[] AwaitReady(int count)
    {
        var numbers = new List<int>();
        while (numbers.Count < count)
        {
            string line = Output.ReadLine() ?? throw new InvalidOperationException($"the launcher ended: {_errors.Result}");
            if (line.EndsWith(" ready", StringComparison.Ordinal)) numbers.AddRange(line[(line.IndexOf(']', StringComparison.Ordinal) + 2)..].Split(' ')[..^1].Select(word => int.Parse(word, CultureInfo.InvariantCulture)));
        }
        return [.. numbers];
    }

    public static bool IsGone(int processId) => !File.Exists($"/proc/{processId}/stat") || File.ReadAllText($"/proc/{processId}/stat").Contains(") Z ", StringComparison.Ordinal);

    public static void AssertGone(IEnumerable<int> processIds, TimeSpan limit)
    {
        foreach (int id in processIds) Assert.True(SpinWait.SpinUntil(() => IsGone(id), limit), $"process {id} is left over");
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill();
        _process.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int processId, int signal);
}
