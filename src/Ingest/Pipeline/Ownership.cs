using System.Reflection;
using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>
/// Who disposes elements. An element that is <see cref="IDisposable"/>, or a pair or triple with such a part, belongs to whoever took it from a stream; functions of the
/// user's borrow it for the call. Costs nothing for types that own nothing, and boxes none that do.
/// </summary>
internal static class Ownership<T>
{
    private delegate void Releaser(in T element);

    private static readonly Releaser? s_release = OwnedParts.MayOwn(typeof(T)) ? FindReleaser() : null;

    /// <summary>Whether elements of this type may own something.</summary>
    internal static bool Exists => s_release is not null;

    /// <summary>Whether elements are known to own something, by their type.</summary>
    internal static bool IsCertain { get; } = OwnedParts.MustOwn(typeof(T));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Release(in T? element) => s_release?.Invoke(element!);

    /// <summary>
    /// Releases what a function borrowed. What is also in the result, as it is or as a part of a pair or triple, has moved on: structs are recognised by equality, objects by
    /// identity.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void ReleaseUnlessMoved<TOut>(in T element, in TOut result)
    {
        if (s_release is not null) Move<T, TOut>.Release!(element, result);
    }

    private static Releaser FindReleaser()
    {
        if (OwnedParts.TryGet(typeof(T), out Type[] parts))
            return OwnedParts.Make<Releaser>(typeof(Ownership<T>), parts.Length == 2 ? nameof(ReleasePair) : nameof(ReleaseTriple), parts);
        return typeof(T).IsValueType
            ? OwnedParts.Make<Releaser>(typeof(Ownership<T>), nameof(ReleaseStruct), typeof(T))
            : static (in T element) => (element as IDisposable)?.Dispose();
    }

    private static void ReleaseStruct<TStruct>(in TStruct element) where TStruct : struct, IDisposable
    {
        TStruct copy = element;
        copy.Dispose();
    }

    private static void ReleasePair<T1, T2>(in (T1, T2) element)
    {
        Ownership<T1>.Release(element.Item1);
        Ownership<T2>.Release(element.Item2);
    }

    private static void ReleaseTriple<T1, T2, T3>(in (T1, T2, T3) element)
    {
        Ownership<T1>.Release(element.Item1);
        Ownership<T2>.Release(element.Item2);
        Ownership<T3>.Release(element.Item3);
    }
}
