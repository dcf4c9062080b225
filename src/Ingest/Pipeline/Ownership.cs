using System.Reflection;
using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>
/// Who disposes elements. An element that is <see cref="IDisposable"/>, or a pair with such a part, belongs to whoever took it from a stream; functions of the
/// user's borrow it for the call. Costs nothing for types that own nothing, and boxes none that do.
/// </summary>
internal static class Ownership<T>
{
    // Releases all of an element, but what is the second argument.
    private delegate void Releaser(in T element, object? moved);

    private static readonly Releaser? s_release = FindReleaser();

    /// <summary>Whether elements of this type may own something.</summary>
    internal static bool Exists => s_release is not null;

    /// <summary>Whether elements are known to own something, by their type.</summary>
    internal static bool IsCertain { get; } = typeof(IDisposable).IsAssignableFrom(typeof(T))
        || (typeof(T).IsGenericType && typeof(T).GetGenericTypeDefinition() == typeof(ValueTuple<,>) && typeof(T).GenericTypeArguments.Any(typeof(IDisposable).IsAssignableFrom));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Release(in T? element) => s_release?.Invoke(element!, null);

    /// <summary>Releases what a function borrowed, unless its result is that very element (or part of it), which then has moved on.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void ReleaseUnlessMoved<TOut>(in T element, in TOut result)
    {
        if (s_release is not null) ReleaseOwned(element, result);
    }

    private static void ReleaseOwned<TOut>(in T element, in TOut result)
    {
        if (typeof(T) == typeof(TOut) && typeof(T).IsValueType && EqualityComparer<T>.Default.Equals(element, Unsafe.As<TOut, T>(ref Unsafe.AsRef(in result)))) return;
        bool mayBePart = !typeof(TOut).IsValueType || (typeof(T).IsGenericType && typeof(T).GenericTypeArguments.Contains(typeof(TOut)));
        s_release!(element, mayBePart ? result : null);
    }

    private static Releaser? FindReleaser()
    {
        bool isPair = typeof(T).IsGenericType && typeof(T).GetGenericTypeDefinition() == typeof(ValueTuple<,>);
        if (isPair) return typeof(T).GenericTypeArguments.Any(MayOwn) ? Make(nameof(ReleasePair), typeof(T).GenericTypeArguments) : null;
        if (!MayOwn(typeof(T))) return null;
        return typeof(T).IsValueType ? Make(nameof(ReleaseStruct), typeof(T)) : (in T element, object? moved) =>
        {
            if (!ReferenceEquals(element, moved)) (element as IDisposable)?.Dispose();
        };
    }

    // A class that is not sealed may have a disposable descendant.
    private static bool MayOwn(Type type) => typeof(IDisposable).IsAssignableFrom(type) || (!type.IsValueType && !type.IsSealed)
        || (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(ValueTuple<,>) && type.GenericTypeArguments.Any(MayOwn));

    private static Releaser Make(string method, params Type[] arguments) =>
        typeof(Ownership<T>).GetMethod(method, BindingFlags.Static | BindingFlags.NonPublic)!.MakeGenericMethod(arguments).CreateDelegate<Releaser>();

    private static void ReleaseStruct<TStruct>(in TStruct element, object? moved) where TStruct : struct, IDisposable
    {
        if (moved is TStruct same && EqualityComparer<TStruct>.Default.Equals(same, element)) return;
        TStruct copy = element;
        copy.Dispose();
    }

    private static void ReleasePair<T1, T2>(in (T1, T2) element, object? moved)
    {
        Ownership<T1>.ReleasePart(element.Item1, moved);
        Ownership<T2>.ReleasePart(element.Item2, moved);
    }

    private static void ReleasePart(in T element, object? moved) => s_release?.Invoke(element, moved);
}
