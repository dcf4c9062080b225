using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.Arm;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// The host's cores, or a slice of them, with a thread team of their own. Results depend on the instruction set only,
/// never on the number of threads.
/// </summary>
public sealed unsafe class CpuDevice : ComputeDevice
{
    private const int Alignment = 64;
    private readonly Stream _stream;

    /// <param name="name">The name it is to be known by.</param>
    /// <param name="instructionSet">Which form of the kernels runs; must be one that the machine has.</param>
    /// <param name="threadCount">Threads that a kernel may use, the caller's included.</param>
    /// <param name="cpus">Logical processors that the workers stay on; null leaves that to the operating system.</param>
    /// <exception cref="DeviceException">The machine lacks the instruction set.</exception>
    public CpuDevice(string name, InstructionSet instructionSet, int threadCount, IReadOnlyList<int>? cpus = null)
        : base(name, DeviceKind.Cpu)
    {
        if (instructionSet > InstructionSets.Best)
            throw new DeviceException($"{name}: this machine has no {instructionSet.Name()}, its best is {InstructionSets.Best.Name()}");
        InstructionSet = instructionSet;
        Team = new ThreadTeam(threadCount, cpus);
        _stream = new Stream(this);
    }

    /// <summary>Which form of the kernels runs.</summary>
    public InstructionSet InstructionSet { get; }

    /// <inheritdoc/>
    public override string Description =>
        $"{CoreCount} thread{(CoreCount == 1 ? "" : "s")}, {(InstructionSet == InstructionSet.Vector128 && AdvSimd.IsSupported ? "neon" : InstructionSet.Name())}";

    /// <inheritdoc/>
    public override long MemoryByteCount => GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;

    /// <inheritdoc/>
    public override int CoreCount => Team.ThreadCount;

    /// <inheritdoc/>
    public override ExecutionStream DefaultStream => _stream;

    internal ThreadTeam Team { get; }

    /// <inheritdoc/>
    public override ExecutionStream CreateStream() => new Stream(this);

    /// <inheritdoc/>
    public override void Dispose()
    {
        if (IsDisposed) return;
        Pool.Trim();
        IsDisposed = true;
        Team.Dispose();
    }

    internal override DeviceBuffer? TryAllocateMemory(long byteCount, int sizeClass, out Exception? cause)
    {
        cause = null;
        try
        {
            bool isLarge = byteCount >= HugePages.ByteCount;
            nint memory = (nint)NativeMemory.AlignedAlloc((nuint)byteCount, (nuint)(isLarge ? HugePages.ByteCount : Alignment));
            if (isLarge) HugePages.Advise(memory, byteCount);
            return new DeviceBuffer(this, memory, byteCount, null) { SizeClass = sizeClass };
        }
        catch (OutOfMemoryException failure)
        {
            cause = failure;
            return null;
        }
    }

    internal override void FreeMemory(DeviceBuffer buffer) => NativeMemory.AlignedFree((void*)buffer.Pointer);

    internal override MemoryBuffer? WrapMemory(nint pointer, long byteCount) => null;

    internal override void ClearMemory(ExecutionStream stream, Tensor tensor) =>
        NativeMemory.Clear((void*)tensor.Pointer, (nuint)tensor.ByteCount);

    internal override void CopyFromHost(ExecutionStream stream, Tensor destination, void* source) =>
        NativeMemory.Copy(source, (void*)destination.Pointer, (nuint)destination.ByteCount);

    internal override void CopyToHost(ExecutionStream stream, Tensor source, void* destination) =>
        NativeMemory.Copy((void*)source.Pointer, destination, (nuint)source.ByteCount);

    internal override void CopyOnDevice(ExecutionStream stream, Tensor source, Tensor destination) =>
        NativeMemory.Copy((void*)source.Pointer, (void*)destination.Pointer, (nuint)source.ByteCount);

    /// <summary>Runs a kernel's items on the team, with the vector width of this device's instruction set.</summary>
    internal void Run<TKernel>(TKernel kernel, int itemCount) where TKernel : unmanaged, ISimdKernel
    {
        switch (InstructionSet)
        {
            case InstructionSet.Avx512: Run<TKernel, Simd512>(kernel, itemCount); break;
            case InstructionSet.Avx2: Run<TKernel, Simd256>(kernel, itemCount); break;
            default: Run<TKernel, Simd128>(kernel, itemCount); break;
        }
    }

    private void Run<TKernel, TVector>(TKernel kernel, int itemCount)
        where TKernel : unmanaged, ISimdKernel where TVector : unmanaged, ISimd<TVector>
    {
        SimdJob<TKernel, TVector> job = new() { Kernel = kernel };
        Team.Run(ref job, itemCount);
    }

    private struct SimdJob<TKernel, TVector> : IParallelJob
        where TKernel : unmanaged, ISimdKernel where TVector : unmanaged, ISimd<TVector>
    {
        public TKernel Kernel;

        // The root of what the JIT compiles for a kernel: inlined any further up, a long kernel overflows the inlining budget and its
        // vector operators become calls (measured: a third slower on two threads than on one).
        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Run(int item) => Kernel.Run<TVector>(item);
    }

    /// <summary>Work runs before the call returns, so there is never anything to wait for.</summary>
    private sealed class Stream(CpuDevice device) : ExecutionStream(device)
    {
        public override void Synchronize()
        {
        }

        public override StreamEvent Record() => Done.Instance;

        public override void Wait(StreamEvent streamEvent) => streamEvent.Synchronize();

        private protected override void Close()
        {
        }
    }

    private sealed class Done : StreamEvent
    {
        public static readonly Done Instance = new();

        public override bool IsCompleted => true;

        public override void Synchronize()
        {
        }
    }
}
