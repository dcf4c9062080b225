using System.Runtime.ExceptionServices;

namespace DistTrain.Ingest;

/// <summary>Disposes several things where one that fails must not keep the others from it.</summary>
internal static class Disposal
{
    /// <summary>Disposes all, then throws the first error there was.</summary>
    internal static void DisposeAll(params ReadOnlySpan<IDisposable?> parts)
    {
        Exception? first = null;
        foreach (IDisposable? part in parts)
        {
            try
            {
                part?.Dispose();
            }
            catch (Exception e)
            {
                first ??= e;
            }
        }
        if (first is not null) ExceptionDispatchInfo.Throw(first);
    }
}
