using System.Numerics;
using System.Runtime.Intrinsics;

namespace DistTrain.Collectives;

/// <summary>How two elements become one, in its vector forms and its scalar form, which give the same bits.</summary>
internal interface IReduceOperator<T> where T : unmanaged
{
    static abstract Vector512<T> Apply(Vector512<T> left, Vector512<T> right);

    static abstract Vector<T> Apply(Vector<T> left, Vector<T> right);

    static abstract T Apply(T left, T right);
}

internal readonly struct SumOperator<T> : IReduceOperator<T> where T : unmanaged, INumber<T>
{
    public static Vector512<T> Apply(Vector512<T> left, Vector512<T> right) => left + right;

    public static Vector<T> Apply(Vector<T> left, Vector<T> right) => left + right;

    public static T Apply(T left, T right) => unchecked(left + right);
}

internal readonly struct ProductOperator<T> : IReduceOperator<T> where T : unmanaged, INumber<T>
{
    public static Vector512<T> Apply(Vector512<T> left, Vector512<T> right) => left * right;

    public static Vector<T> Apply(Vector<T> left, Vector<T> right) => left * right;

    public static T Apply(T left, T right) => unchecked(left * right);
}

// NaN where either is: the left one if it is NaN, else a comparison with NaN is false and gives the right one.
internal readonly struct MinOperator<T> : IReduceOperator<T> where T : unmanaged, INumber<T>
{
    public static Vector512<T> Apply(Vector512<T> left, Vector512<T> right) =>
        Vector512.ConditionalSelect(Vector512.LessThan(left, right) | ~Vector512.Equals(left, left), left, right);

    public static Vector<T> Apply(Vector<T> left, Vector<T> right) => Vector.ConditionalSelect(Vector.LessThan(left, right) | ~Vector.Equals(left, left), left, right);

    public static T Apply(T left, T right) => left < right || T.IsNaN(left) ? left : right;
}

internal readonly struct MaxOperator<T> : IReduceOperator<T> where T : unmanaged, INumber<T>
{
    public static Vector512<T> Apply(Vector512<T> left, Vector512<T> right) =>
        Vector512.ConditionalSelect(Vector512.GreaterThan(left, right) | ~Vector512.Equals(left, left), left, right);

    public static Vector<T> Apply(Vector<T> left, Vector<T> right) => Vector.ConditionalSelect(Vector.GreaterThan(left, right) | ~Vector.Equals(left, left), left, right);

    public static T Apply(T left, T right) => left > right || T.IsNaN(left) ? left : right;
}
