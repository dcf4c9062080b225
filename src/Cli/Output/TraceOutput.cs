using DistTrain.Collectives;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary><c>--trace FILE</c>: records a strategy's run and writes it, whole where all processes come to the end together, else what this one knows.</summary>
internal sealed class TraceOutput : IDisposable
{
    private readonly TrainingTrace _trace;
    private readonly string _path;

    private TraceOutput(TrainingTrace trace, string path) => (_trace, _path) = (trace, path);

    /// <summary>Begins to record; null where nobody wants it.</summary>
    public static TraceOutput? Start(Strategy strategy, string? path) => path is null ? null : new TraceOutput(TrainingTrace.Start(strategy), path);

    /// <summary>At the end of a run that all processes have come to.</summary>
    public void Save()
    {
        if (_trace.Save(_path) is { } written) ProgressDisplay.Say($"trace in {written}: open it in ui.perfetto.dev");
    }

    /// <summary>Behind a failure, which stays the one that is reported.</summary>
    public void SaveAfter(Exception failure)
    {
        try
        {
            // All stop together when they are asked to, and can still speak to each other.
            if (failure is not PreemptedException || !TrySave()) SavePart();
        }
        catch (Exception second) when (second is IOException or UnauthorizedAccessException)
        {
            ProgressDisplay.Say($"the trace could not be written: {second.Message}");
        }
    }

    public void Dispose() => _trace.Dispose();

    private bool TrySave()
    {
        try
        {
            Save();
            return true;
        }
        catch (CollectiveException)
        {
            return false;
        }
    }

    private void SavePart() => ProgressDisplay.Say($"this process's part of the trace, up to the failure, in {_trace.SavePart(_path)}");
}
