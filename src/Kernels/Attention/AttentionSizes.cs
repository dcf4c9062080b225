using ILGPU;
using ILGPU.Algorithms;

namespace DistTrain.Kernels;

/// <summary><see cref="AttentionLayout"/> as kernels can hold it.</summary>
internal readonly struct AttentionSizes(AttentionLayout layout)
{
    public readonly int Queries = layout.Queries;
    public readonly int Keys = layout.Keys;
    public readonly int Heads = layout.Heads;
    public readonly int HeadSize = layout.HeadSize;
    public readonly int IsCausal = layout.IsCausal ? 1 : 0;
    public readonly float Scale = layout.Scale;

    public int RowStride => Heads * HeadSize;

    public long QueryStart(int pair, int query) => ((((long)(pair / Heads) * Queries) + query) * RowStride) + ((long)(pair % Heads) * HeadSize);

    public long KeyStart(int pair, int key) => ((((long)(pair / Heads) * Keys) + key) * RowStride) + ((long)(pair % Heads) * HeadSize);

    public int Length(ArrayView<int> lengths, int pair) => lengths.Length > 0 ? XMath.Clamp(lengths[pair / Heads], 0, Keys) : Keys;

    public int Visible(int query, int length) => IsCausal != 0 ? XMath.Clamp(query + 1 + Keys - Queries, 0, length) : length;
}
