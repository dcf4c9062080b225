using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// What the replicas of a checkpoint's run had kept back of their gradients (<see cref="IBucketCompressor.Residual"/>), a file for each: <c>residual-00002-of-00003.safetensors</c>. As many replicas go
/// on with their own, bit for bit. Of another number replica i takes those of the former replicas i, i + n, i + 2n and so on together: what error feedback is about, the sum over all, stays.
/// </summary>
internal sealed class ResidualFiles(CheckpointFolder folder, CheckpointManifest manifest)
{
    /// <summary>Replicas that kept something back.</summary>
    internal int Count { get; } = CheckpointFolder.FilesOf(manifest, CheckpointFolder.ResidualFile).Length > 0 ? manifest.Replicas : 0;

    /// <summary>Loads what this replica goes on with; nothing kept back where there is nothing.</summary>
    /// <exception cref="StateMismatchException">It is another model's.</exception>
    internal void Load(ExecutionStream stream, CpuDevice host, ReplicaVariables variables)
    {
        if (variables.Residuals.Count == 0) return;
        Dictionary<string, Tensor> sums = [];
        try
        {
            for (int rank = variables.Shard.Index; rank < Count; rank += variables.Shard.Count) Add(host, rank, sums);
            if (sums.Count > 0) StateLoader.Load(stream, variables.Residuals, sums);
            else foreach (Tensor residual in variables.Residuals.Values) residual.Clear(residual.Device == stream.Device ? stream : residual.Device.DefaultStream);
            stream.Synchronize();
        }
        catch (StateMismatchException difference)
        {
            throw difference.In($"{folder.PathOf(manifest.Position.Step)}, {CheckpointFolder.ResidualFile}: it is another model's or optimizer's");
        }
        finally
        {
            foreach (Tensor sum in sums.Values) sum.Dispose();
        }
    }

    /// <summary>Why a run with these variables is not the unbroken one bit for bit, as far as it is for what was kept back; null: it is.</summary>
    internal string? DifferenceTo(ReplicaVariables variables)
    {
        if (variables.Compression is not { KeepsState: true } compression)
            return Count == 0 ? null : $"the gradients that compression had kept back on {Count} replica(s) are left out, since this run keeps none: it does not go on bit for bit";
        if (Count == 0 || variables.Residuals.Count == 0)
            return $"the checkpoint has no gradients that compression {compression.Name} had kept back: the run goes on with none, not bit for bit as an unbroken one would";
        return Count == variables.Shard.Count ? null
            : $"the gradients that compression had kept back on {Count} replica(s) go to {variables.Shard.Count}: their sum stays, the run does not go on bit for bit";
    }

    private void Add(CpuDevice host, int rank, Dictionary<string, Tensor> sums)
    {
        Dictionary<string, Tensor> own = folder.LoadShare(host, manifest, CheckpointFolder.ResidualFile, rank);
        try
        {
            foreach ((string name, Tensor tensor) in own)
            {
                if (sums.TryAdd(name, tensor)) continue;
                // Refused with the others where it does not fit the variables.
                if (tensor.Shape != sums[name].Shape || tensor.DType != DType.F32 || sums[name].DType != DType.F32)
                    throw new CheckpointException($"{folder.PathOf(manifest.Position.Step)}: what replica {rank} kept back of '{name}' is {tensor.DType} {tensor.Shape}, another one's {sums[name].DType} {sums[name].Shape}");
                Elementwise.AddScaled(host.DefaultStream, sums[name], tensor, 1);
            }
        }
        finally
        {
            foreach ((string name, Tensor tensor) in own)
                if (sums.GetValueOrDefault(name) != tensor) tensor.Dispose();
        }
    }
}
