using System.Runtime.InteropServices;

namespace DistTrain.Collectives;

/// <summary>Host memory that an algorithm receives into; grown as needed, used again.</summary>
internal sealed unsafe class ScratchMemory : IDisposable
{
    private const int Alignment = 64;
    private nint _memory;
    private long _byteCount;

    /// <summary>Room for so many bytes; what was there is lost.</summary>
    internal nint Room(long byteCount)
    {
        if (byteCount <= _byteCount) return _memory;
        Dispose();
        _memory = (nint)NativeMemory.AlignedAlloc(checked((nuint)byteCount), Alignment);
        _byteCount = byteCount;
        return _memory;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree((void*)_memory);
        (_memory, _byteCount) = (0, 0);
    }
}
