using System.Text.Json.Serialization;

namespace DistTrain.Bench;

/// <summary>What a call of a body allocates in its steady state. The file <c>bench/allocations.json</c> is a list of these.</summary>
/// <param name="Bench">The bench.</param>
/// <param name="Case">The case of that bench.</param>
/// <param name="ManagedByteCount">Bytes on the managed heap, all threads together.</param>
/// <param name="NativeAllocationCount">Native allocations of the device's pool, in all measured calls together.</param>
public sealed record AllocationCase(
    [property: JsonPropertyName("bench")] string Bench,
    [property: JsonPropertyName("case")] string Case,
    [property: JsonPropertyName("managedBytes")] long ManagedByteCount,
    [property: JsonPropertyName("nativeAllocations")] long NativeAllocationCount);
