namespace DistTrain.Ingest;

/// <summary>Samples of a WebDataset: runs of files of a tar archive with one key. A sample's record is its piece of the archive, headers included.</summary>
internal readonly struct TarFraming(int maxSampleByteCount) : IRecordFraming
{
    // Samples have a handful of files. Archives whose names have the dot in another place make one sample of everything.
    internal const int MaxPartCount = 1000;

    // What is asked for beyond the next part of a sample is mostly another sample's, and copied for nothing.
    private const int MostMore = 1 << 17;

    /// <summary>Whether the window holds one sample and nothing else: then it needs no end mark.</summary>
    internal bool IsAlone { get; init; }

    public FrameStatus Read(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame)
    {
        TarWalker walker = new(window, verify: true);
        TarName key = default;
        int start = -1, partCount = 0;
        while (true)
        {
            TarStep step = walker.Next();
            bool isNamed = step is TarStep.File || (step is TarStep.Incomplete && walker.IsNamed);
            bool isPart = isNamed && walker.Name.KeyLength >= 0;
            // The name of the file behind tells that the sample ends, whether its content is there or not.
            if (start >= 0 && (step == TarStep.End || (isPart && walker.IsFile && !walker.Name.HasKeyOf(key))))
                return walker.Start - start > maxSampleByteCount ? TooLong(ref frame, start) : frame.Set(start, walker.Start - start, walker.Start, start);
            if (step == TarStep.End) return FrameStatus.End;
            if (step == TarStep.Bad) return frame.Damage(walker.Problem!, walker.ProblemAt, 0);
            if (step == TarStep.Incomplete && !isFinal && walker.NeededByteCount - Math.Max(start, 0) > maxSampleByteCount) return TooLong(ref frame, Math.Max(start, 0));
            if (IsAlone && isFinal && start >= 0 && walker.Start == window.Length) return frame.Set(start, window.Length - start, window.Length, start);
            if (step == TarStep.Incomplete) return isFinal ? CutShort(window, ref walker, ref frame) : frame.Need(WithMore(walker.NeededByteCount, window.Length, start));
            if (!isPart) continue;
            if (start < 0)
            {
                start = walker.Start;
                key = walker.Name;
            }
            if (++partCount > MaxPartCount)
                return frame.Damage($"more than {MaxPartCount:N0} files with the key '{key.Key}': names are cut at the first dot of their last part, so this is no WebDataset, or its names hold dots", start, 0);
            if (IsTwice(window[start..walker.Start], walker.Name))
                return frame.Damage($"the sample '{key.Key}' has two files '{walker.Name.ToString()}' (extensions are compared without case)", walker.Start, 0);
        }
    }

    public FrameStatus Measure(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame) => Read(window, offset, isFinal, ref frame);

    // A tar file begins with a name, which may be anything.
    public bool Recognizes(ReadOnlySpan<byte> start) => false;

    // Whether its end is there depends on how the bytes come: what happens next must not.
    private FrameStatus TooLong(ref RecordFrame frame, int start) =>
        frame.Damage($"a sample of more than {maxSampleByteCount:N0} bytes: damaged, or raise MaxSampleByteCount if the file is trusted", start, 0);

    // Each look begins at the front: many small entries are looked at a few times, not once for each of them.
    private static long WithMore(long needed, int there, int start) => Math.Max(needed, there + (long)(start < 0 ? there : Math.Min(there, MostMore)));

    private static FrameStatus CutShort(ReadOnlySpan<byte> window, ref TarWalker walker, ref RecordFrame frame)
    {
        long missing = walker.NeededByteCount - window.Length;
        string problem = walker.Start == window.Length ? "the archive ends without its end mark, a block of zeros"
            : walker.IsNamed ? $"the archive ends inside '{walker.Name.ToString()}' of {walker.ContentLength:N0} bytes; {missing:N0} are missing"
            : $"the archive ends inside a header; {missing:N0} bytes are missing";
        return frame.Damage($"{problem}: cut short", window.Length, 0);
    }

    private static bool IsTwice(ReadOnlySpan<byte> sample, TarName name)
    {
        TarWalker walker = new(sample, verify: false);
        TarStep step;
        while ((step = walker.Next()) is TarStep.File or TarStep.Other)
            if (step == TarStep.File && walker.Name.KeyLength >= 0 && System.Text.Ascii.EqualsIgnoreCase(walker.Name.Extension, name.Extension)) return true;
        return false;
    }
}
