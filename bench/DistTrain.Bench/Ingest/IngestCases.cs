namespace DistTrain.Bench;

/// <summary>The cases of <c>ingest</c>. A case's first word is its group.</summary>
public static class IngestCases
{
    /// <summary>Every group, in the order of a record's way.</summary>
    public static IEnumerable<BenchCase> All() => 
    [
        .. Crc32CWorkload.Cases(), .. TFRecordWorkload.Cases(), .. ElementCases.All(), .. LoaderElements.Cases(), .. OverlapWorkload.Cases(), .. RemoteWorkload.Cases(),
    ];

    /// <summary>The cases of one group.</summary>
    public static IEnumerable<BenchCase> Of(string group) => All().Where(benchCase => benchCase.Name.StartsWith(group + " ", StringComparison.Ordinal));
}
