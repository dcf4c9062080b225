using DistTrain.Ingest;

namespace DistTrain.Runtime;

/// <summary>How <see cref="ImageBatchSource"/> makes batches.</summary>
/// <param name="BatchSize">Samples in a batch.</param>
/// <param name="Shuffle">A new order each epoch; false keeps file order.</param>
/// <param name="Seed">Names the orders.</param>
/// <param name="DropLast">Leaves the last batch out if it is not full.</param>
/// <param name="Scale">Pixels to floats. Null: <see cref="InputScale.Unit"/>.</param>
public sealed record ImageBatchOptions(int BatchSize, bool Shuffle = true, ulong Seed = 0, bool DropLast = false, InputScale? Scale = null);
