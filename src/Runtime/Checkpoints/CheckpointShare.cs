using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// One replica's share of checkpoints that all replicas write together: files of its own, and behind them a note that tells of them. The first replica waits for all notes and makes the manifest of
/// them. Notes bear the run's number, so that those of a run that was killed in the middle count for nothing.
/// </summary>
/// <param name="Rank">The replica.</param>
/// <param name="Count">Replicas in all.</param>
/// <param name="Run">A random number that the replicas have agreed on.</param>
internal sealed record CheckpointShare(int Rank, int Count, long Run)
{
    /// <summary>How long the first replica waits for the others' notes.</summary>
    internal static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(60);

    /// <summary>Such as <c>model-00002-of-00004.safetensors</c>.</summary>
    internal string NameOf(string file) => string.Create(CultureInfo.InvariantCulture, $"{Path.GetFileNameWithoutExtension(file)}-{Rank + 1:d5}-of-{Count:d5}{Path.GetExtension(file)}");

    /// <summary>The note of one of the replicas.</summary>
    internal string NoteOf(int rank) => string.Create(CultureInfo.InvariantCulture, $"share-{Run:x12}-{rank + 1:d5}-of-{Count:d5}.json");

    /// <summary>Vectors that each replica has of its own, as rows of matrices that all have together.</summary>
    internal Dictionary<string, CheckpointPart> RowsOf(IReadOnlyDictionary<string, Tensor> tensors) =>
        tensors.ToDictionary(entry => entry.Key, entry => new CheckpointPart([Count, checked((int)entry.Value.ElementCount)], Rank * entry.Value.ElementCount, entry.Value.ElementCount));

    /// <summary>Whether a file of a manifest is a replica's share of another.</summary>
    internal static bool IsShareOf(string name, string file) =>
        name.StartsWith($"{Path.GetFileNameWithoutExtension(file)}-", StringComparison.Ordinal) && name.EndsWith(Path.GetExtension(file), StringComparison.Ordinal) && name.Contains("-of-", StringComparison.Ordinal);
}
