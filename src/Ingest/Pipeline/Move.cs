using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>Releases what of an element is not in what a function made of it.</summary>
internal static class Move<TIn, TOut>
{
    internal delegate void Releaser(in TIn element, in TOut result);

    /// <summary>Null if elements own nothing.</summary>
    internal static readonly Releaser? Release = OwnedParts.MayOwn(typeof(TIn)) ? FindReleaser() : null;

    private static Releaser FindReleaser()
    {
        if (OwnedParts.TryGet(typeof(TIn), out Type[] parts))
            return OwnedParts.Make<Releaser>(typeof(Move<TIn, TOut>), parts.Length == 2 ? nameof(ReleasePair) : nameof(ReleaseTriple), parts);
        return ReleaseWhole;
    }

    private static void ReleaseWhole(in TIn element, in TOut result)
    {
        if (Part<TIn, TOut>.IsIn is not { } isIn || !isIn(element, result)) Ownership<TIn>.Release(element);
    }

    private static void ReleasePair<T1, T2>(in (T1, T2) element, in TOut result)
    {
        Move<T1, TOut>.Release?.Invoke(element.Item1, result);
        Move<T2, TOut>.Release?.Invoke(element.Item2, result);
    }

    private static void ReleaseTriple<T1, T2, T3>(in (T1, T2, T3) element, in TOut result)
    {
        Move<T1, TOut>.Release?.Invoke(element.Item1, result);
        Move<T2, TOut>.Release?.Invoke(element.Item2, result);
        Move<T3, TOut>.Release?.Invoke(element.Item3, result);
    }
}

/// <summary>Whether one thing is another, or a part of it.</summary>
internal static class Part<TPart, TWhole>
{
    internal delegate bool Search(in TPart part, in TWhole whole);

    /// <summary>Null if it never is, by the types.</summary>
    internal static readonly Search? IsIn = FindSearch();

    private static Search? FindSearch()
    {
        if (OwnedParts.TryGet(typeof(TWhole), out Type[] parts))
            return OwnedParts.Make<Search>(typeof(Part<TPart, TWhole>), parts.Length == 2 ? nameof(IsInPair) : nameof(IsInTriple), parts);
        if (typeof(TPart) == typeof(TWhole) && typeof(TPart).IsValueType)
            return static (in TPart part, in TWhole whole) => EqualityComparer<TPart>.Default.Equals(part, Unsafe.As<TWhole, TPart>(ref Unsafe.AsRef(in whole)));
        if (typeof(TWhole).IsValueType) return null;
        return typeof(TPart).IsValueType
            ? static (in TPart part, in TWhole whole) => whole is TPart boxed && EqualityComparer<TPart>.Default.Equals(part, boxed)
            : static (in TPart part, in TWhole whole) => ReferenceEquals(part, whole);
    }

    private static bool IsInPair<T1, T2>(in TPart part, in (T1, T2) whole) =>
        (Part<TPart, T1>.IsIn?.Invoke(part, whole.Item1) ?? false) || (Part<TPart, T2>.IsIn?.Invoke(part, whole.Item2) ?? false);

    private static bool IsInTriple<T1, T2, T3>(in TPart part, in (T1, T2, T3) whole) => (Part<TPart, T1>.IsIn?.Invoke(part, whole.Item1) ?? false)
        || (Part<TPart, T2>.IsIn?.Invoke(part, whole.Item2) ?? false) || (Part<TPart, T3>.IsIn?.Invoke(part, whole.Item3) ?? false);
}
