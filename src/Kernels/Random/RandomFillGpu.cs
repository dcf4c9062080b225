using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread a block of four elements.</summary>
internal static class RandomFillGpu
{
    public static void Fill(GpuDevice gpu, ExecutionStream stream, Tensor output, RandomRule rule, RandomStream random)
    {
        long sampleLength = new SampleTiles(output.Shape).SampleLength, blocksOfSample = (sampleLength + 3) / 4;
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, long, RandomRule, RandomStream>(Kernel))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount / sampleLength * blocksOfSample), GpuDevice.View<float>(output), sampleLength, rule, random);
    }

    private static void Kernel(ArrayView<float> output, long sampleLength, RandomRule rule, RandomStream random)
    {
        long blocksOfSample = (sampleLength + 3) / 4, blockCount = output.Length / sampleLength * blocksOfSample;
        for (long i = Grid.GlobalLinearIndex; i < blockCount; i += (long)Grid.DimX * Group.DimX)
        {
            long sample = i / blocksOfSample, block = i % blocksOfSample;
            PhiloxBlock words = random.Block(sample, (uint)block);
            for (int place = 0; place < 4; place++)
            {
                long element = (block * 4) + place;
                if (element < sampleLength) output[(sample * sampleLength) + element] = rule.Number(words, place);
            }
        }
    }
}
