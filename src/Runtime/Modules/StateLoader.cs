using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Copies named tensors into named tensors after checking that the names and shapes agree.</summary>
internal static class StateLoader
{
    private const string IgnoredSuffix = ".num_batches_tracked";

    public static void Load(ExecutionStream stream, IReadOnlyDictionary<string, Tensor> destinations, IReadOnlyDictionary<string, Tensor> sources)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(sources);
        string[] missing = [.. destinations.Keys.Where(name => !sources.ContainsKey(name))];
        string[] unexpected = [.. sources.Keys.Where(name => !destinations.ContainsKey(name) && !name.EndsWith(IgnoredSuffix, StringComparison.Ordinal))];
        string[] mismatched =
        [
            .. destinations.Where(entry => sources.TryGetValue(entry.Key, out Tensor? source) && (source.Shape != entry.Value.Shape || source.DType != entry.Value.DType))
                .Select(entry => $"{entry.Key} is {sources[entry.Key].DType} {sources[entry.Key].Shape}, expected {entry.Value.DType} {entry.Value.Shape}"),
        ];
        if (missing.Length + unexpected.Length + mismatched.Length > 0) throw new StateMismatchException(missing, unexpected, mismatched);
        foreach ((string name, Tensor destination) in destinations) Copy(stream, sources[name], destination);
    }

    public static void Copy(ExecutionStream stream, Tensor source, Tensor destination)
    {
        if (source.Device == destination.Device)
        {
            source.CopyTo(stream, destination);
            return;
        }
        // The copy is ordered by the destination's default stream: make both sides wait for it.
        source.CopyTo(source.Device == stream.Device ? stream : source.Device.DefaultStream, destination);
        destination.Device.DefaultStream.Synchronize();
    }
}
