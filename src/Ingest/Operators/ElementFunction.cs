namespace DistTrain.Ingest;

/// <summary>Makes the function that one run applies.</summary>
/// <param name="context">The run.</param>
/// <param name="isShared">Several threads may use it at a time.</param>
internal delegate ElementFunction<TIn, TOut> ElementFunctionFactory<TIn, TOut>(StreamContext context, bool isShared);

/// <summary>A function that makes one element of another, as operators call it. Thread-safe if the user's function is.</summary>
internal abstract class ElementFunction<TIn, TOut>
{
    /// <summary>Whether the function looks at its context: finding an element's index costs a little.</summary>
    internal abstract bool NeedsContext { get; }

    /// <summary>Makes the output, and releases the input unless it is the output.</summary>
    internal abstract TOut Apply(TIn element, in ElementContext context);

    /// <summary>Whether what the function threw says by itself what is wrong where, and is to pass as it is.</summary>
    internal virtual bool Explains(Exception thrown) => false;
}

internal sealed class PlainFunction<TIn, TOut>(Func<TIn, TOut> function) : ElementFunction<TIn, TOut>
{
    internal override bool NeedsContext => false;

    internal override TOut Apply(TIn element, in ElementContext context)
    {
        if (!Ownership<TIn>.Exists) return function(element);
        TOut result;
        try
        {
            result = function(element);
        }
        catch
        {
            Ownership<TIn>.Release(element);
            throw;
        }
        Ownership<TIn>.ReleaseUnlessMoved(element, result);
        return result;
    }
}

internal sealed class ContextFunction<TIn, TOut>(Func<TIn, ElementContext, TOut> function) : ElementFunction<TIn, TOut>
{
    internal override bool NeedsContext => true;

    internal override TOut Apply(TIn element, in ElementContext context)
    {
        TOut result;
        try
        {
            result = function(element, context);
        }
        catch
        {
            Ownership<TIn>.Release(element);
            throw;
        }
        Ownership<TIn>.ReleaseUnlessMoved(element, result);
        return result;
    }
}

/// <summary>What <c>Prefetch</c> does with elements: nothing.</summary>
internal sealed class IdentityFunction<T> : ElementFunction<T, T>
{
    internal static IdentityFunction<T> Instance { get; } = new();

    internal override bool NeedsContext => false;

    internal override T Apply(T element, in ElementContext context) => element;
}
