using System.Diagnostics;

namespace DistTrain.Bench;

/// <summary>
/// Runs this program again with tiered compilation off. Optimised code keeps some objects off the heap, and when the runtime gets to
/// optimising depends on the machine's load: counts would too.
/// </summary>
public static class FixedTier
{
    private const string Variable = "DOTNET_TieredCompilation";

    /// <summary>True if all code is compiled at its highest tier at once.</summary>
    public static bool IsOn => Environment.GetEnvironmentVariable(Variable) == "0";

    /// <summary>The exit code of this program, run with the same arguments at a fixed tier.</summary>
    public static int RunAgain()
    {
        string program = Environment.ProcessPath!;
        string[] command = Environment.GetCommandLineArgs();
        // Under the dotnet host the assembly is the first argument of the command; an own executable is the command.
        bool isHosted = Path.GetFileNameWithoutExtension(program).Equals("dotnet", StringComparison.OrdinalIgnoreCase);
        ProcessStartInfo start = new(program, isHosted ? command : command[1..]);
        start.Environment[Variable] = "0";
        using Process process = Process.Start(start)!;
        process.WaitForExit();
        return process.ExitCode;
    }
}
