namespace DistTrain.Runtime;

/// <summary><see cref="ParameterServerStatistics"/> on the wire.</summary>
internal static class StatisticsMessage
{
    internal const int ByteCount = (4 * sizeof(long)) + sizeof(int) + (ParameterServerStatistics.StalenessCountLength * sizeof(long));

    internal static WireWriter Write(ParameterServerStatistics statistics)
    {
        WireWriter writer = new WireWriter().Int64(statistics.Version).Int64(statistics.StepsDone).Int32(statistics.WorkerCount).Int64(statistics.DroppedCount).Int64(statistics.LargestStaleness);
        foreach (long count in statistics.StalenessCounts) writer.Int64(count);
        return writer;
    }

    internal static ParameterServerStatistics Read(ReadOnlySpan<byte> bytes)
    {
        WireReader reader = new(bytes);
        (long version, long done, int workers, long dropped, long largest) = (reader.Int64(), reader.Int64(), reader.Int32(), reader.Int64(), reader.Int64());
        long[] counts = new long[ParameterServerStatistics.StalenessCountLength];
        for (int i = 0; i < counts.Length; i++) counts[i] = reader.Int64();
        reader.End();
        return new ParameterServerStatistics(version, done, workers, dropped, counts, largest);
    }
}
