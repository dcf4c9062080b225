using System.Reflection;

namespace DistTrain.Ingest;

/// <summary>What of a type can be owned, found by reflection once per type.</summary>
internal static class OwnedParts
{
    /// <summary>Whether an element of this type may have to be disposed: a class that is not sealed may have a disposable descendant.</summary>
    internal static bool MayOwn(Type type) => TryGet(type, out Type[] parts) ? parts.Any(MayOwn)
        : typeof(IDisposable).IsAssignableFrom(type) || (!type.IsValueType && !type.IsSealed);

    /// <summary>Whether an element of this type, or a part of it, has to be disposed.</summary>
    internal static bool MustOwn(Type type) => TryGet(type, out Type[] parts) ? parts.Any(MustOwn) : typeof(IDisposable).IsAssignableFrom(type);

    /// <summary>The parts of a pair or triple.</summary>
    internal static bool TryGet(Type type, out Type[] parts)
    {
        Type? definition = type.IsGenericType ? type.GetGenericTypeDefinition() : null;
        bool isTuple = definition == typeof(ValueTuple<,>) || definition == typeof(ValueTuple<,,>);
        parts = isTuple ? type.GenericTypeArguments : [];
        return isTuple;
    }

    /// <summary>A delegate on a generic static method of a type.</summary>
    internal static TDelegate Make<TDelegate>(Type owner, string method, params Type[] arguments) where TDelegate : Delegate =>
        owner.GetMethod(method, BindingFlags.Static | BindingFlags.NonPublic)!.MakeGenericMethod(arguments).CreateDelegate<TDelegate>();
}
