using System.CommandLine;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary><c>disttrain train</c>, and what <c>disttrain</c> does without arguments.</summary>
internal static class TrainCommand
{
    public static Command Create(Interruption interruption)
    {
        TrainSymbols symbols = new();
        Command command = new("train", "Trains a model and writes runs/<name>/: metrics, event file, weights, configuration.");
        symbols.AddTo(command);
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(symbols.Read(parsed), interruption, cancellation)));
        return command;
    }

    private static int Run(TrainOptions options, Interruption interruption, CancellationToken cancellation)
    {
        if (ParameterServerRole.Detect(options) is { IsServer: true } role) return ParameterServerRole.Serve(options, role, interruption.PreemptOnTerminate(), cancellation);
        CancellationToken preemption = options.Checkpoint is null ? default : interruption.PreemptOnTerminate();
        using CancellationTokenSource stopping = CancellationTokenSource.CreateLinkedTokenSource(preemption, cancellation);
        using Strategy strategy = StrategyChoice.Open(options, stopping.Token);
        interruption.Renew();
        using TrainingRun run = new(options, strategy);
        using TraceOutput? trace = TraceOutput.Start(strategy, options.Trace);
        TrainingReport? report;
        try
        {
            report = run.Execute(preemption, cancellation);
        }
        catch (Exception failure)
        {
            trace?.SaveAfter(failure);
            throw;
        }
        trace?.Save();
        if (report is null) return ExitCode.Ok;
        report.Write(options.Json ? Console.Error : Console.Out);
        if (options.Json) Console.WriteLine(report.ToJson());
        return ExitCode.Ok;
    }
}
