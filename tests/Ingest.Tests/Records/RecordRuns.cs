namespace DistTrain.Ingest.Tests;

/// <summary>Takes all records of a dataset, errors included, and sees to it that every lease was given back.</summary>
internal static class RecordRuns
{
    /// <summary>What a run gave: a record's bytes as hexadecimal digits, or "!" and an error's message without the folder.</summary>
    internal static List<string> All(Dataset<Record> dataset, IngestOptions? options = null, bool isInOrder = true)
    {
        List<string> seen = [];
        using DatasetIterator<Record> run = dataset.Iterate(options);
        while (true)
        {
            try
            {
                if (!run.TryNext(out Record record)) break;
                seen.Add(Convert.ToHexString(record.Span));
                Assert.Equal(run.CurrentSource, record.Source);
                record.Dispose();
            }
            catch (Exception e) when (e is DataFormatException or IngestException)
            {
                seen.Add("!" + e.Message[(e.Message.LastIndexOf('/') + 1)..]);
            }
            if (isInOrder) Assert.Equal(seen.Count - 1, run.CurrentIndex);
        }
        run.Dispose();
        Assert.Equal(0, run.Slabs.OutstandingCount);
        return seen;
    }

    /// <summary>The same through the index.</summary>
    internal static List<string> AllByNumber(Dataset<Record> dataset, IngestOptions? options = null) => All(dataset.Skip(0), options);

    internal static string Hex(params byte[] bytes) => Convert.ToHexString(bytes);
}
