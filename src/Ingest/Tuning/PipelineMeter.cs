using System.Diagnostics;

namespace DistTrain.Ingest;

/// <summary>What is measured of one running pipeline: its background stages, the consumer's side first, and the consumer itself.</summary>
internal sealed class PipelineMeter
{
    private const double NewestWeight = 0.1;

    private readonly List<Stage> _stages = [];
    private readonly Action _whenAuto;

    /// <summary>For a pipeline without a consumer of its own to time.</summary>
    internal PipelineMeter() : this(false, static () => { })
    {
    }

    /// <param name="isMeasured">Times the consumer even where nothing is <c>Auto</c>.</param>
    /// <param name="whenAuto">Called when a stage appears that leaves a setting to the tuner.</param>
    internal PipelineMeter(bool isMeasured, Action whenAuto)
    {
        IsMeasured = isMeasured;
        _whenAuto = whenAuto;
    }

    /// <summary>Whether the consumer is timed.</summary>
    internal bool IsMeasured { get; private set; }

    /// <summary>Elements that the consumer took.</summary>
    internal long ElementCount { get; private set; }

    /// <summary>Moving average of the time between giving the consumer an element and its asking for the next: what it needs by itself.</summary>
    internal double ConsumerTicks { get; private set; }

    /// <summary>How long the consumer waited in all.</summary>
    internal long WaitTicks { get; private set; }

    /// <summary>The stages that run now.</summary>
    internal Stage[] Snapshot()
    {
        lock (_stages) return [.. _stages];
    }

    internal void Add(Stage stage)
    {
        lock (_stages) _stages.Add(stage);
        if (!stage.IsParallelismAuto && !stage.IsBufferAuto) return;
        IsMeasured = true;
        _whenAuto();
    }

    internal void Remove(Stage stage)
    {
        lock (_stages) _stages.Remove(stage);
    }

    internal void RecordElement(long consumerTicks, long waitTicks)
    {
        ElementCount++;
        WaitTicks += waitTicks;
        // The first element has no gap before it.
        if (ElementCount == 1) return;
        ConsumerTicks = ElementCount == 2 ? consumerTicks : ConsumerTicks + (NewestWeight * (consumerTicks - ConsumerTicks));
    }
}
