using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Cli;

/// <summary><c>disttrain doctor</c>: what this machine has, each native library with every file tried, and what to do about what is missing.</summary>
internal static class DoctorCommand
{
    public static Command Create()
    {
        Command command = new("doctor", "Checks the machine: runtime, instruction set, GPU drivers, OpenCL, native libraries, transports, data folders.");
        command.SetAction(_ => Run());
        return command;
    }

    private static int Run()
    {
        Console.WriteLine($"runtime        {RuntimeInformation.FrameworkDescription} on {RuntimeInformation.OSDescription} ({RuntimeInformation.RuntimeIdentifier})");
        Console.WriteLine($"SDK            {Sdk()}");
        Console.WriteLine($"processor      {Environment.ProcessorCount} usable cores, {InstructionSet()}");
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"memory         {GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 1e9:F1} GB usable"));
        ReportLibrary("cuda", "NVIDIA driver", "install the NVIDIA driver to use cuda:0; nothing is needed on machines without such a GPU");
        ReportLibrary("OpenCL", "OpenCL loader", "Debian: apt-get install ocl-icd-libopencl1, with a vendor's driver, or pocl-opencl-icd to test GPU kernels on the CPU");
        foreach (string transport in new[] { "shm", "mpi", "nccl" }) ReportTransport(transport);
        Console.WriteLine($"{"started by",-14} {Cluster()}");
        foreach (DeviceInfo device in DeviceCatalog.List())
            Console.WriteLine($"{"device",-14} {device.Name}: {(device.Unusable is null ? device.Description : "not usable: " + device.Unusable)}");
        DataCommand.PrintList(Console.Out);
        return ExitCode.Ok;
    }

    private static string Sdk()
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo("dotnet", "--list-sdks") { RedirectStandardOutput = true, RedirectStandardError = true })!;
            string[] versions = [.. process.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ')[0])];
            process.WaitForExit(TimeSpan.FromSeconds(10));
            return versions.Any(version => version.StartsWith("10.", StringComparison.Ordinal))
                ? string.Join(", ", versions)
                : $"no .NET 10 SDK among [{string.Join(", ", versions)}]: install dotnet-sdk-10.0 to build from source";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "dotnet is not in PATH: install dotnet-sdk-10.0 to build from source";
        }
    }

    private static string InstructionSet()
    {
        try
        {
            InstructionSet chosen = InstructionSets.Chosen();
            string forced = chosen == InstructionSets.Best ? "" : $" ({InstructionSets.EnvironmentVariable} forces {chosen.Name()})";
            return $"{InstructionSets.Best.Name()} kernels{forced}";
        }
        catch (DeviceException failure)
        {
            return failure.Message;
        }
    }

    private static string Cluster()
    {
        try
        {
            return ClusterEnvironment.Detect().Reason;
        }
        catch (ClusterEnvironmentException failure)
        {
            return failure.Message;
        }
    }

    private static void ReportTransport(string transport)
    {
        bool isUsable = ShimLibrary.IsTransportAvailable(transport, out string problem);
        Console.WriteLine($"{"transport",-14} {transport}: {(isUsable ? "usable" : "not usable: " + problem.ReplaceLineEndings($"\n{"",-15}"))}");
    }

    private static void ReportLibrary(string library, string title, string remedy)
    {
        IReadOnlyList<(string File, bool Loaded)> tried = NativeLibraries.Probe(library);
        string outcome = string.Join(", ", tried.Select(probe => $"{probe.File} {(probe.Loaded ? "loads" : Path.IsPathRooted(probe.File) ? "does not load (it needs the driver)" : "not found")}"));
        Console.WriteLine($"{title,-14} {outcome}");
        if (!tried.Any(probe => probe.Loaded)) Console.WriteLine($"{"",-14} {remedy}");
    }
}
