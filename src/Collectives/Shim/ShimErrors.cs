using System.Runtime.InteropServices;

namespace DistTrain.Collectives;

/// <summary>The shim's failures as exceptions.</summary>
internal static unsafe class ShimErrors
{
    internal const int TextBytes = 1024;

    internal static string Text(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";

    internal static string LastError(ShimHandle communicator)
    {
        byte* text = stackalloc byte[TextBytes];
        *text = 0;
        return ShimMethods.dt_last_error(communicator, text, TextBytes) == ShimStatus.Ok ? Text(text) : "the communicator is gone";
    }

    /// <summary>The exception for a status that is not ok.</summary>
    internal static Exception Of(ShimStatus status, ShimHandle communicator)
    {
        string text = LastError(communicator);
        return status is ShimStatus.InvalidArgument ? new ArgumentException(text)
            : status is ShimStatus.InvalidUsage ? new InvalidOperationException(text)
            : status is ShimStatus.Unsupported ? new NotSupportedException(text)
            : OfDead(status, communicator, text);
    }

    /// <summary>Why a communicator is dead; null while it lives.</summary>
    internal static CollectiveException? Failure(ShimHandle communicator)
    {
        ShimStatus status = ShimMethods.dt_status_now(communicator);
        return status == ShimStatus.Ok ? null : OfDead(status, communicator, LastError(communicator));
    }

    /// <summary>The exception for a communicator that could not be made.</summary>
    internal static Exception OfJoining(ShimStatus status, string transport, string text) => status switch
    {
        ShimStatus.InvalidArgument => new ArgumentException($"{transport}: {text}"),
        ShimStatus.Unsupported => new NotSupportedException($"{transport}: {text}"),
        ShimStatus.Timeout => new CollectiveTimeoutException($"{transport}: {text}"),
        _ => new CollectiveException($"{transport}: {text}"),
    };

    private static CollectiveException OfDead(ShimStatus status, ShimHandle communicator, string text)
    {
        ShimFailure failure = new() { StructBytes = sizeof(ShimFailure), Rank = -1 };
        _ = ShimMethods.dt_failure_info(communicator, ref failure);
        return status switch
        {
            ShimStatus.Timeout => new CollectiveTimeoutException(text) { Rank = failure.Rank },
            ShimStatus.Mismatch => new CollectiveMismatchException(text),
            ShimStatus.Aborted => new CommunicatorAbortedException(text),
            ShimStatus.PeerLost => new CommunicatorLostException(text)
            {
                Rank = failure.Rank, ProcessId = failure.ProcessId, Reason = (PeerLossReason)failure.Reason, LastSequence = failure.Sequence, LastVerb = (CollectiveVerb)failure.Verb,
            },
            _ => new CollectiveException(text),
        };
    }
}
