namespace DistTrain.Kernels;

/// <summary>The sizes of an attention and where things lie: rows of D elements at ((b · positions + position) · H + h) · D.</summary>
internal readonly record struct AttentionLayout(int Batch, int Queries, int Keys, int Heads, int HeadSize, bool IsCausal, float Scale)
{
    /// <summary>[B, H, T]</summary>
    public Shape PerQuery => new(Batch, Heads, Queries);

    /// <summary>Elements between consecutive positions of a head.</summary>
    public int RowStride => Heads * HeadSize;

    /// <summary>Batches times heads: the attentions that are independent of one another.</summary>
    public int PairCount => Batch * Heads;

    /// <summary>Where the queries of a (batch, head) pair start.</summary>
    public long QueryStart(int pair) => ((long)(pair / Heads) * Queries * RowStride) + ((long)(pair % Heads) * HeadSize);

    /// <summary>Where the keys, and values, of a (batch, head) pair start.</summary>
    public long KeyStart(int pair) => ((long)(pair / Heads) * Keys * RowStride) + ((long)(pair % Heads) * HeadSize);

    /// <summary>Keys that exist, given the batch's entry of the key lengths.</summary>
    public int ClampLength(int length) => Math.Clamp(length, 0, Keys);

    /// <summary>Keys that a query sees, of <paramref name="length"/> that exist: they are the first ones.</summary>
    public int VisibleKeys(int query, int length) => IsCausal ? Math.Clamp(query + 1 + Keys - Queries, 0, length) : length;
}

/// <summary>The operands of a backward pass that are no inputs of the forward pass.</summary>
internal readonly record struct AttentionGradients(Tensor DQuery, Tensor DKey, Tensor DValue, Tensor DOutput, Tensor Output, Tensor LogSumExp);
