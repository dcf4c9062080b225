using System.Reflection;
using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>
/// Who disposes elements. An element that is <see cref="IDisposable"/> belongs to whoever took it from a stream; functions of the user's borrow it for the call.
/// Costs nothing for types that can't be disposed, and never boxes.
/// </summary>
internal static class Ownership<T>
{
    private delegate void Releaser(in T element);

    private static readonly bool s_isDisposable = typeof(IDisposable).IsAssignableFrom(typeof(T));

    // A class that is not sealed may have a disposable descendant.
    private static readonly bool s_exists = s_isDisposable || (!typeof(T).IsValueType && !typeof(T).IsSealed);

    private static readonly Releaser? s_releaseStruct = s_isDisposable && typeof(T).IsValueType
        ? typeof(Ownership<T>).GetMethod(nameof(ReleaseStruct), BindingFlags.Static | BindingFlags.NonPublic)!.MakeGenericMethod(typeof(T)).CreateDelegate<Releaser>()
        : null;

    /// <summary>Whether elements of this type may own something.</summary>
    internal static bool Exists => s_exists;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Release(in T? element)
    {
        if (s_exists) ReleaseOwned(element!);
    }

    /// <summary>Releases what a function borrowed, unless its result is that very element, which then has moved on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void ReleaseUnlessMoved<TOut>(in T element, in TOut result)
    {
        if (s_exists && !IsMoved(element, result)) ReleaseOwned(element);
    }

    private static void ReleaseOwned(in T element)
    {
        if (s_releaseStruct is { } release) release(element);
        else (element as IDisposable)?.Dispose();
    }

    private static bool IsMoved<TOut>(in T element, in TOut result) =>
        typeof(T).IsValueType ? result is T same && EqualityComparer<T>.Default.Equals(same, element) : ReferenceEquals(result, element);

    private static void ReleaseStruct<TStruct>(in TStruct element) where TStruct : struct, IDisposable
    {
        TStruct copy = element;
        copy.Dispose();
    }
}
