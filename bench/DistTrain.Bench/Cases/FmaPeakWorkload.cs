using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>
/// Independent chains of fused multiply-adds on registers: what one core can do at most, times the threads. Twelve chains hide a latency
/// of four cycles on two (or three) units.
/// </summary>
public sealed class FmaPeakWorkload : Workload
{
    private const int ChainCount = 12, RepeatCount = 20_000;
    private readonly CpuDevice _device;
    private readonly Tensor _sink;

    /// <summary>One item a thread.</summary>
    public FmaPeakWorkload(CpuDevice device)
        : base(device)
    {
        _device = device;
        _sink = Zeros(new Shape(device.CoreCount, 16));
    }

    /// <summary>Multiply-adds alone.</summary>
    public static IEnumerable<BenchCase> Cases() =>
        [new BenchCase("limits", "multiply-add", Measure.GigaflopsPerSecond, double.NaN, "none", device => new FmaPeakWorkload((CpuDevice)device)) { IsLimit = true }];

    /// <summary>Operations: two for each lane of each multiply-add.</summary>
    public override double? OwnWork => 2.0 * LaneCount * ChainCount * RepeatCount * _device.CoreCount;

    private int LaneCount => _device.InstructionSet switch
    {
        InstructionSet.Avx512 => 16,
        InstructionSet.Avx2 => 8,
        _ => 4,
    };

    /// <inheritdoc/>
    public override unsafe void Run() => _device.Run(new Chains { Sink = (float*)_sink.Pointer }, _device.CoreCount);

    private unsafe struct Chains : ISimdKernel
    {
        public float* Sink;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            V x = V.Broadcast(0.999f), y = V.Broadcast(1e-3f);
            V a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;
            for (int repeat = 0; repeat < RepeatCount; repeat++)
            {
                a = V.MultiplyAdd(a, x, y);
                b = V.MultiplyAdd(b, x, y);
                c = V.MultiplyAdd(c, x, y);
                d = V.MultiplyAdd(d, x, y);
                e = V.MultiplyAdd(e, x, y);
                f = V.MultiplyAdd(f, x, y);
                g = V.MultiplyAdd(g, x, y);
                h = V.MultiplyAdd(h, x, y);
                i = V.MultiplyAdd(i, x, y);
                j = V.MultiplyAdd(j, x, y);
                k = V.MultiplyAdd(k, x, y);
                l = V.MultiplyAdd(l, x, y);
            }
            V.Store(a + b + c + d + e + f + g + h + i + j + k + l, Sink + (item * 16));
        }
    }
}
