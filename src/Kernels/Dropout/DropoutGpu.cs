using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread a block of four elements.</summary>
internal static class DropoutGpu
{
    public static void Run(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input, float probability, float scale, RandomStream random)
    {
        long sampleLength = new SampleTiles(output.Shape).SampleLength, blocksOfSample = (sampleLength + 3) / 4;
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, long, float, float, RandomStream>(Kernel))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount / sampleLength * blocksOfSample),
            GpuDevice.View<float>(output), GpuDevice.View<float>(input), sampleLength, probability, scale, random);
    }

    private static void Kernel(ArrayView<float> output, ArrayView<float> input, long sampleLength, float probability, float scale, RandomStream random)
    {
        long blocksOfSample = (sampleLength + 3) / 4, blockCount = output.Length / sampleLength * blocksOfSample;
        for (long i = Grid.GlobalLinearIndex; i < blockCount; i += (long)Grid.DimX * Group.DimX)
        {
            long sample = i / blocksOfSample, block = i % blocksOfSample;
            PhiloxBlock words = random.Block(sample, (uint)block);
            for (int place = 0; place < 4; place++)
            {
                uint word = place == 0 ? words.X : place == 1 ? words.Y : place == 2 ? words.Z : words.W;
                long element = (block * 4) + place, index = (sample * sampleLength) + element;
                if (element < sampleLength) output[index] = input[index] * (Philox.Fraction(word) < probability ? 0f : scale);
            }
        }
    }
}
