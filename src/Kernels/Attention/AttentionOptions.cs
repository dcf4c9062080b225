namespace DistTrain.Kernels;

/// <summary>Which keys a query sees and how scores are scaled.</summary>
/// <param name="IsCausal">
/// Query i sees keys j ≤ i + S - T only: the sequences are aligned at their ends, so that with T = S it sees itself and all before, and
/// with T &lt; S (decoding behind a cache) the last query sees every key.
/// </param>
/// <param name="Scale">Factor on query · key; 0 means 1 / √D.</param>
public readonly record struct AttentionOptions(bool IsCausal = false, float Scale = 0);
