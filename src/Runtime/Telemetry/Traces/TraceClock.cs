using System.Diagnostics;
using System.Security.Cryptography;
using System.Text;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>How a rank's monotonic clock stands to the first rank's.</summary>
/// <param name="Offset">Nanoseconds to add to this rank's times to get the first rank's.</param>
/// <param name="Uncertainty">Nanoseconds that the offset may be wrong by: half of the fastest round trip; 0 where both read the same clock.</param>
internal readonly record struct ClockOffset(long Offset, long Uncertainty);

/// <summary>
/// Aligns the ranks' clocks. Processes of one start of one host share the monotonic clock. To others, the first rank sends a message and gets their time back: at the fastest of several tries
/// their time is that of the middle between sending and receiving, to half the round trip (F. Cristian, "Probabilistic clock synchronization", Distributed Computing 3, 1989).
/// </summary>
internal sealed class TraceClock(long identity, Func<long> now)
{
    private const int TryCount = 16;
    private const double NanosecondsPerSecond = 1e9;

    /// <summary>This process's.</summary>
    internal static TraceClock Own { get; } = new(HostIdentity(), Nanoseconds);

    internal static long Nanoseconds() => ToNanoseconds(Stopwatch.GetTimestamp());

    internal static long ToNanoseconds(long timestamp) => Stopwatch.Frequency == (long)NanosecondsPerSecond ? timestamp : (long)(timestamp * (NanosecondsPerSecond / Stopwatch.Frequency));

    /// <summary>Finds all ranks' offsets. Collective; every rank gets all.</summary>
    internal ClockOffset[] Align(ExecutionStream stream, ICommunicator communicator)
    {
        int ranks = communicator.WorldSize;
        long[] identities = Gather(stream, communicator, identity);
        ClockOffset own = default;
        for (int rank = 1; rank < ranks; rank++)
        {
            if (identities[rank] == identities[0]) continue;
            if (communicator.Rank == 0) Ask(stream, communicator, rank);
            else if (communicator.Rank == rank) own = Answer(stream, communicator);
        }
        long[] offsets = Gather(stream, communicator, own.Offset), uncertainties = Gather(stream, communicator, own.Uncertainty);
        return [.. offsets.Zip(uncertainties, (offset, uncertainty) => new ClockOffset(offset, uncertainty))];
    }

    // The first rank: what the other needs to know is when the message left here and when the answer came.
    private void Ask(ExecutionStream stream, ICommunicator communicator, int rank)
    {
        using Tensor message = Words(stream, 0);
        for (int i = 0; i < TryCount; i++)
        {
            long sent = now();
            communicator.Exchange(stream, PeerTransfer.Send(message, rank));
            communicator.Exchange(stream, PeerTransfer.Receive(message, rank));
            long received = now();
            using Tensor times = Words(stream, sent, received);
            communicator.Exchange(stream, PeerTransfer.Send(times, rank));
        }
    }

    private ClockOffset Answer(ExecutionStream stream, ICommunicator communicator)
    {
        using Tensor message = Words(stream, 0), times = Words(stream, 0, 0);
        ClockOffset best = new(0, long.MaxValue);
        for (int i = 0; i < TryCount; i++)
        {
            communicator.Exchange(stream, PeerTransfer.Receive(message, 0));
            long here = now();
            communicator.Exchange(stream, PeerTransfer.Send(message, 0));
            communicator.Exchange(stream, PeerTransfer.Receive(times, 0));
            long[] there = Read(stream, times);
            long half = (there[1] - there[0]) / 2;
            if (half < best.Uncertainty) best = new ClockOffset(there[0] + half - here, half);
        }
        return best;
    }

    private static long[] Gather(ExecutionStream stream, ICommunicator communicator, long own)
    {
        using Tensor send = Words(stream, own), receive = Words(stream, new long[communicator.WorldSize]);
        communicator.AllGather(stream, send, receive);
        return Read(stream, receive);
    }

    // As halves: devices move 32-bit integers.
    private static Tensor Words(ExecutionStream stream, params ReadOnlySpan<long> values) =>
        Tensor.From(stream, System.Runtime.InteropServices.MemoryMarshal.Cast<long, int>(values), new Shape(2 * values.Length));

    private static long[] Read(ExecutionStream stream, Tensor words) => System.Runtime.InteropServices.MemoryMarshal.Cast<int, long>(words.ToArray<int>(stream)).ToArray();

    // The same for processes that read the same clock: one start of one kernel, in one time namespace.
    private static long HostIdentity()
    {
        string text;
        try
        {
            text = File.ReadAllText("/proc/sys/kernel/random/boot_id") + File.ResolveLinkTarget("/proc/self/ns/time", returnFinalTarget: false)?.Name;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            text = $"{Environment.MachineName} {Environment.ProcessId}";
        }
        return BitConverter.ToInt64(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
    }
}
