using System.Runtime.InteropServices;

namespace DistTrain.Collectives;

// The structs of native/nccl-shim/include/disttrain_shim.h, field by field.

internal unsafe struct ShimOptions
{
    public long StructBytes;
    public int Transport;
    public int Rank;
    public int WorldSize;
    public uint Flags;
    public long TimeoutMs;
    public long SegmentBytes;
    public byte* Address;
    public byte* Secret;
    public long SecretBytes;
    public byte* UniqueId;
    public long UniqueIdBytes;
    public int Device;
    public int Reserved;
}

internal struct ShimFailure
{
    public long StructBytes;
    public int Status;
    public int Rank;
    public int ProcessId;
    public int Reason;
    public ulong Sequence;
    public ulong Verb;
}

internal struct ShimDescription
{
    public long StructBytes;
    public int Transport;
    public int Rank;
    public int WorldSize;
    public uint Flags;
    public int SameProcess;
    public int Cores;
    public int Oversubscribed;
    public int InstructionSetBits;
    public ulong Group;
    public ulong Sequence;
}

[StructLayout(LayoutKind.Sequential)]
internal struct ShimFlightRecord
{
    public ulong Sequence;
    public int Verb;
    public int DType;
    public int Op;
    public int Root;
    public long Count;
    public long StartNanoseconds;
    public long DurationNanoseconds;
    public int State;
    public int Mapped;
    public ulong Reserved;
}

/// <summary>The shim's status codes.</summary>
internal enum ShimStatus
{
    Ok = 0,
    InvalidArgument = 1,
    InvalidUsage = 2,
    Unsupported = 3,
    OutOfMemory = 4,
    SystemError = 5,
    Refused = 6,
    Timeout = 7,
    Mismatch = 8,
    PeerLost = 9,
    Aborted = 10,
    InternalError = 11,
}

/// <summary>The shim's transports.</summary>
internal enum ShimTransportNumber
{
    SharedMemory = 1,
    Mpi = 2,
    Nccl = 3,
}

/// <summary>The shim's flags.</summary>
[Flags]
internal enum ShimFlags
{
    None = 0,
    FixedOrder = 1,
    HugePages = 2,
    AlwaysSpin = 4,
    CheckCalls = 8,
}
