namespace DistTrain.Ingest;

/// <summary>The background stages of one running pipeline, in the order in which they were opened, the consumer's side first.</summary>
internal sealed class PipelineMeter
{
    private readonly List<Stage> _stages = [];

    /// <summary>Whether any stage leaves a setting to the tuner.</summary>
    internal bool HasAuto { get; private set; }

    /// <summary>The stages that run now.</summary>
    internal Stage[] Snapshot()
    {
        lock (_stages) return [.. _stages];
    }

    internal void Add(Stage stage)
    {
        lock (_stages)
        {
            _stages.Add(stage);
            HasAuto |= stage.IsParallelismAuto || stage.IsBufferAuto;
        }
    }

    internal void Remove(Stage stage)
    {
        lock (_stages) _stages.Remove(stage);
    }
}
