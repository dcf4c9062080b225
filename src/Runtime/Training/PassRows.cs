using DistTrain.Ingest;

namespace DistTrain.Runtime;

/// <summary>The rows of a replica's part of a batch that one pass of a step is over.</summary>
/// <param name="First">The first one.</param>
/// <param name="Count">How many; 0 where a batch is too small for all.</param>
internal readonly record struct PassRows(int First, int Count)
{
    /// <summary>Passes of a step: one for each of the replica's virtual shards, or micro-batches.</summary>
    internal static int PassCount(ReplicaVariables variables, in Batch batch, int accumulationSteps)
    {
        if (variables.PassesPerStep > 0) return variables.PassesPerStep;
        // Where replicas meet in passes, all must have as many: some over no samples.
        return Math.Max(1, Math.Min(accumulationSteps, variables.MeetsInPasses ? batch.GlobalCount : batch.Count));
    }

    /// <summary>The rows of a pass.</summary>
    internal static PassRows Of(ReplicaVariables variables, in Batch batch, int pass, int passCount)
    {
        if (variables.PassesPerStep == 0)
        {
            BatchShard part = new(pass, passCount);
            return new PassRows((int)part.Offset(batch.Count), (int)part.Length(batch.Count));
        }
        BatchShard own = variables.Shard, shard = new((own.Index * passCount) + pass, own.VirtualCount);
        return new PassRows((int)(shard.Offset(batch.GlobalCount) - own.Offset(batch.GlobalCount)), (int)shard.Length(batch.GlobalCount));
    }
}
