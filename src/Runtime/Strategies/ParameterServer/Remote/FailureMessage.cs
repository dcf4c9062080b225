namespace DistTrain.Runtime;

/// <summary>What went wrong at a server, as it travels to the worker.</summary>
internal static class FailureMessage
{
    internal const int MaxByteCount = 1 << 20;
    private const int MaxTextByteCount = 16 * 1024, MaxTextLength = 4000, MaxNames = 64;

    private enum Kind : byte
    {
        /// <summary>The call failed.</summary>
        Call = 0,

        /// <summary>The variables are others.</summary>
        StateMismatch = 1,

        /// <summary>The server wants no more of this connection.</summary>
        Refusal = 2,

        /// <summary>The server has no room now.</summary>
        Full = 3,

        /// <summary>The caller did what it must not.</summary>
        Misuse = 4,

        /// <summary>The call failed for what may be over another time.</summary>
        Retryable = 5,
    }

    internal static WireWriter Write(Exception failure)
    {
        WireWriter writer = new();
        switch (failure)
        {
            case StateMismatchException mismatch:
                return Names(Names(Names(writer.Byte((byte)Kind.StateMismatch), mismatch.Missing), mismatch.Unexpected), mismatch.Mismatched);
            case ParameterProtocolException:
                return writer.Byte((byte)Kind.Refusal).Text(Cut(failure.Message));
            case ParameterServerException { IsRetryable: true }:
                return writer.Byte((byte)Kind.Retryable).Text(Cut(failure.Message));
            case InvalidOperationException or ArgumentException:
                return writer.Byte((byte)Kind.Misuse).Text(Cut(failure.Message));
            default:
                return writer.Byte((byte)Kind.Call).Text(Cut(failure.Message));
        }
    }

    internal static WireWriter WriteFull(string text) => new WireWriter().Byte((byte)Kind.Full).Text(Cut(text));

    /// <summary>The exception to throw; a <see cref="ParameterConnectionException"/> where another try makes sense.</summary>
    internal static Exception Read(ReadOnlySpan<byte> bytes, string server)
    {
        WireReader reader = new(bytes);
        Kind kind = (Kind)reader.Byte();
        if (kind == Kind.StateMismatch)
        {
            List<string> missing = Names(ref reader), unexpected = Names(ref reader), mismatched = Names(ref reader);
            return new StateMismatchException(missing, unexpected, mismatched).In($"{server} has another model's variables");
        }
        string text = Plain(reader.Text(MaxTextByteCount));
        return kind switch
        {
            Kind.Full => new ParameterConnectionException(text),
            Kind.Misuse => new InvalidOperationException($"{server}: {text}"),
            Kind.Refusal => new ParameterServerException($"{server} refuses: {text}"),
            _ => new ParameterServerException($"{server}: {text}") { IsRetryable = kind == Kind.Retryable },
        };
    }

    private static WireWriter Names(WireWriter writer, IReadOnlyList<string> names)
    {
        writer.Int32(Math.Min(names.Count, MaxNames + 1));
        foreach (string name in names.Take(MaxNames)) writer.Text(Cut(name));
        return names.Count > MaxNames ? writer.Text($"and {names.Count - MaxNames} more") : writer;
    }

    private static List<string> Names(ref WireReader reader)
    {
        int count = reader.Count(leastByteCount: sizeof(int), MaxNames + 1);
        List<string> names = new(count);
        for (int i = 0; i < count; i++) names.Add(Plain(reader.Text(MaxTextByteCount)));
        return names;
    }

    // The other side may have proved nothing yet: its words are shown as its words, without what a terminal would obey.
    private static string Plain(string text) => new([.. text.Select(letter => char.IsControl(letter) ? '?' : letter)]);

    private static string Cut(string text) => text.Length <= MaxTextLength ? text : text[..MaxTextLength] + "...";
}
