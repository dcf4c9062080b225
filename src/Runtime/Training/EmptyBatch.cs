using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Batches without rows for replicas that a small last batch leaves without a part: passes over them need the extents of the rows that are not there.</summary>
/// <param name="epoch">Batches to look at where none was seen yet.</param>
/// <param name="inputs">The column of inputs.</param>
/// <param name="labels">The column of labels.</param>
internal sealed class EmptyBatch(Func<Dataset<TensorBatch>> epoch, string inputs, string labels)
{
    private int[]? _inputs, _labels;

    /// <summary>Remembers a batch's extents.</summary>
    internal void Learn(DeviceBatch batch)
    {
        if (_inputs is null) (_inputs, _labels) = (Empty(batch[inputs].Shape.Dimensions), Empty(batch[labels].Shape.Dimensions));
    }

    /// <summary>A batch of 0 rows. Blocks to read one batch of the data where none was seen, as in a run that goes on with an epoch's last batch.</summary>
    internal Batch Make(ExecutionStream stream, long firstSample, int globalCount)
    {
        if (_inputs is null)
        {
            using DatasetIterator<TensorBatch> data = epoch().Iterate();
            if (!data.TryNext(out TensorBatch? first)) throw new InvalidOperationException("the data have no batches at all");
            using (first) (_inputs, _labels) = (Empty(first[inputs].Shape), Empty(first[labels].Shape));
        }
        return new Batch(Tensor.Allocate(stream, new Shape(_inputs)), Tensor.Allocate(stream, new Shape(_labels!), DType.I32), firstSample, globalCount);
    }

    private static int[] Empty(ReadOnlySpan<int> extents) => [0, .. extents[1..]];
}
