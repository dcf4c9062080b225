using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Running;

namespace DistTrain.Bench;

/// <summary>BenchmarkDotNet over the same bodies, with rates and allocated bytes.</summary>
public static class SwitcherCommand
{
    /// <summary>Runs with BenchmarkDotNet's own arguments, <c>--device NAME</c> taken out. <c>--inProcess</c> needs no SDK.</summary>
    public static int Run(string[] arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        int device = Array.IndexOf(arguments, "--device");
        if (device >= 0 && device + 1 < arguments.Length)
        {
            Environment.SetEnvironmentVariable(CaseBenchmarks.DeviceVariable, arguments[device + 1]);
            arguments = [.. arguments[..device], .. arguments[(device + 2)..]];
        }
        IConfig config = DefaultConfig.Instance
            .AddDiagnoser(MemoryDiagnoser.Default)
            .AddColumn(new RateColumn(Measure.GigaflopsPerSecond), new RateColumn(Measure.GigabytesPerSecond), new RateColumn(Measure.SamplesPerSecond));
        BenchmarkSwitcher.FromAssembly(typeof(SwitcherCommand).Assembly).Run(arguments, config);
        return 0;
    }
}
