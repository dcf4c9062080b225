namespace DistTrain.Kernels;

/// <summary>Four neighbouring numbers in registers: structs with named fields stay there, where ILGPU would put arrays into local memory.</summary>
internal struct Quad
{
    public float X, Y, Z, W;

    /// <summary>sum + factor * terms, lane by lane.</summary>
    public static Quad MultiplyAdd(float factor, Quad terms, Quad sum) => new()
    {
        X = (factor * terms.X) + sum.X,
        Y = (factor * terms.Y) + sum.Y,
        Z = (factor * terms.Z) + sum.Z,
        W = (factor * terms.W) + sum.W,
    };
}

/// <summary>A 4 x 4 block of the output in registers.</summary>
internal struct QuadBlock
{
    public Quad Row0, Row1, Row2, Row3;

    /// <summary>The block plus the product of a column of a and a row of b.</summary>
    public static QuadBlock MultiplyAdd(Quad a, Quad b, QuadBlock sum) => new()
    {
        Row0 = Quad.MultiplyAdd(a.X, b, sum.Row0),
        Row1 = Quad.MultiplyAdd(a.Y, b, sum.Row1),
        Row2 = Quad.MultiplyAdd(a.Z, b, sum.Row2),
        Row3 = Quad.MultiplyAdd(a.W, b, sum.Row3),
    };
}
