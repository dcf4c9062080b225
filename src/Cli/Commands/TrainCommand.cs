using System.CommandLine;
using DistTrain.Kernels;

namespace DistTrain.Cli;

/// <summary><c>disttrain train</c>, and what <c>disttrain</c> does without arguments.</summary>
internal static class TrainCommand
{
    public static Command Create()
    {
        TrainSymbols symbols = new();
        Command command = new("train", "Trains a model and writes runs/<name>/: metrics, event file, weights, configuration.");
        symbols.AddTo(command);
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(symbols.Read(parsed), cancellation)));
        return command;
    }

    private static int Run(TrainOptions options, CancellationToken cancellation)
    {
        using ComputeDevice device = DeviceCatalog.Open(options.Device);
        using TrainingRun run = new(options, device);
        TrainingReport report = run.Execute(cancellation);
        report.Write(options.Json ? Console.Error : Console.Out);
        if (options.Json) Console.WriteLine(report.ToJson());
        return ExitCode.Ok;
    }
}
