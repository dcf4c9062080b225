using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>Copies a block: half the bytes are read, half written. On the CPU each thread copies a part of its own.</summary>
public sealed class CopyWorkload : Workload
{
    private readonly Tensor _output, _input;

    /// <param name="device">Where to copy.</param>
    /// <param name="byteCount">Bytes read and written together.</param>
    public CopyWorkload(ComputeDevice device, double byteCount)
        : base(device)
    {
        Shape shape = new((int)(byteCount / 2 / sizeof(float)));
        _output = Zeros(shape);
        _input = Random(shape);
    }

    /// <summary>From caches to memory: bytes read and written together.</summary>
    public static IEnumerable<BenchCase> Cases() => ((int[])[64, 1 << 10, 16 << 10, 512 << 10]).Select(static kibibytes =>
        new BenchCase("limits", kibibytes >= 1024 ? $"copy {kibibytes / 1024} MiB" : $"copy {kibibytes} KiB", Measure.GigabytesPerSecond,
            kibibytes * 1024.0, "none", device => new CopyWorkload(device, kibibytes * 1024.0)) { IsLimit = true });

    /// <inheritdoc/>
    public override unsafe void Run()
    {
        if (Stream.Device is CpuDevice cpu)
            cpu.Run(new CopyPart { Output = (byte*)_output.Pointer, Input = (byte*)_input.Pointer, ByteCount = _output.ByteCount, PartCount = cpu.CoreCount }, cpu.CoreCount);
        else _input.CopyTo(Stream, _output);
    }

    private unsafe struct CopyPart : ISimdKernel
    {
        public byte* Output, Input;
        public long ByteCount;
        public int PartCount;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long start = ByteCount / PartCount * item / 64 * 64, end = item == PartCount - 1 ? ByteCount : ByteCount / PartCount * (item + 1) / 64 * 64;
            Buffer.MemoryCopy(Input + start, Output + start, end - start, end - start);
        }
    }
}
