using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Whole tensors of the parts that several files hold.</summary>
internal sealed class PartAssembly(ExecutionStream host)
{
    /// <summary>The tensors so far; whoever takes them disposes them.</summary>
    internal Dictionary<string, Tensor> Tensors { get; } = [];

    /// <summary>Makes sure that parts fit together: of each tensor every element once.</summary>
    /// <exception cref="CheckpointException">They don't.</exception>
    internal static void Check(IEnumerable<CheckpointFile> files, string place)
    {
        foreach (IGrouping<string, CheckpointTensor> tensor in files.SelectMany(file => file.Tensors).GroupBy(tensor => tensor.Name))
        {
            CheckpointPart?[] parts = [.. tensor.Select(part => part.Part)];
            if (parts is [null]) continue;
            if (parts.Contains(null)) throw new CheckpointException($"{place}: its manifest has '{tensor.Key}' {parts.Length} times");
            long end = 0;
            foreach (CheckpointPart part in parts.OfType<CheckpointPart>().OrderBy(part => part.First))
            {
                if (part.First != end || part.ElementCount <= 0 || !part.Shape.SequenceEqual(parts[0]!.Shape)) throw new CheckpointException($"{place}: the parts of '{tensor.Key}' do not fit together at element {end}: files of different checkpoints");
                end = checked(end + part.ElementCount);
            }
            if (ShapeOf(parts[0]!, tensor.Key, place).ElementCount != end) throw new CheckpointException($"{place}: the last parts of '{tensor.Key}' are missing, from element {end} on");
        }
    }

    /// <summary>Takes a tensor of a file, or a part of one.</summary>
    internal void Add(CheckpointTensor expected, Tensor tensor, string place)
    {
        if (expected.Part is not { } part)
        {
            if (Tensors.ContainsKey(expected.Name)) throw new CheckpointException($"{place}: '{expected.Name}' is there twice");
            Tensors.Add(expected.Name, tensor.Share());
            return;
        }
        if (tensor.Shape.DimensionCount != 1 || tensor.ElementCount != part.ElementCount) throw new CheckpointException($"{place}: the part of '{expected.Name}' is {tensor.Shape}, expected [{part.ElementCount}]");
        if (!Tensors.TryGetValue(expected.Name, out Tensor? whole)) Tensors.Add(expected.Name, whole = Tensor.Allocate(host, ShapeOf(part, expected.Name, place), tensor.DType));
        using Tensor flat = whole.Reshape(new Shape(checked((int)whole.ElementCount))), target = flat.Slice(checked((int)part.First), checked((int)part.ElementCount));
        tensor.CopyTo(host, target);
    }

    private static Shape ShapeOf(CheckpointPart part, string name, string place)
    {
        try
        {
            return new Shape([.. part.Shape]);
        }
        catch (Exception failure) when (failure is ArgumentException or ShapeException or OverflowException)
        {
            throw new CheckpointException($"{place}: the shape of '{name}' is none: {failure.Message}", failure);
        }
    }
}
