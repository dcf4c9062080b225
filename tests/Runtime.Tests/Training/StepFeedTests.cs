using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

public sealed class StepFeedTests
{
    [Theory]
    [InlineData(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)]
    [InlineData(0, 4, 8, 11)]
    [InlineData(1, 2, 9, 3, 10, 11, 0)]
    [InlineData(11, 10, 9, 5)]
    public void The_batch_of_a_step_is_the_same_however_one_gets_there(params int[] steps)
    {
        // 50 samples: 5 batches an epoch, the last of 2.
        ImageBatchSource source = new(SyntheticImages.Make(50, 8, 4, seed: 1), new ImageBatchOptions(12, Seed: 3));
        using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
        ExecutionStream stream = device.DefaultStream;
        List<(long, int, float[])> inOrder = [];
        using (IBatchFeed feed = source.Open(stream, 3))
        {
            for (int i = 0; i < 3 * source.BatchCount; i++)
            {
                using Batch batch = feed.Next();
                inOrder.Add((batch.FirstSample, batch.Count, batch.Inputs.ToArray<float>(stream)));
            }
        }
        using StepFeed steady = new((step, position) => source.Open(stream, 3, step, position), 0, null);
        foreach (int step in steps)
        {
            using Batch batch = steady.At(step);
            Assert.Equal((inOrder[step].Item1, inOrder[step].Item2), (batch.FirstSample, batch.Count));
            Assert.Equal(inOrder[step].Item3, batch.Inputs.ToArray<float>(stream));
        }
    }

    [Fact]
    public void A_replicas_part_is_the_same_after_skipping_batches_that_are_too_small_for_it()
    {
        ImageBatchSource source = new(SyntheticImages.Make(50, 8, 4, seed: 1), new ImageBatchOptions(12, Seed: 3));
        using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
        BatchShard last = new(2, 3);
        using IBatchFeed whole = source.Open(device.DefaultStream, 3, shard: last), skipping = source.Open(device.DefaultStream, 3, shard: last);
        for (int i = 0; i < 7; i++) whole.Next().Dispose();
        skipping.Skip(3);
        skipping.Skip(4);
        using Batch expected = whole.Next(), found = skipping.Next();
        Assert.Equal(expected.FirstSample, found.FirstSample);
        Assert.Equal(expected.Inputs.ToArray<float>(device.DefaultStream), found.Inputs.ToArray<float>(device.DefaultStream));
    }
}
