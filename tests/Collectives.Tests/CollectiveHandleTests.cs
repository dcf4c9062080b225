using DistTrain.Kernels;

namespace DistTrain.Collectives.Tests;

/// <summary>Waiting for a collective that was enqueued on a device's stream and is under way there.</summary>
public sealed class CollectiveHandleTests
{
    private readonly Point _point = new();
    private int _arrivals;

    [Fact]
    public void A_wait_with_a_limit_ends_while_the_device_is_not_done_and_later_sees_it_done()
    {
        CollectiveHandle handle = Enqueued();
        Assert.False(handle.Wait(TimeSpan.FromMilliseconds(20)));
        Assert.False(handle.Wait(TimeSpan.Zero));
        Assert.False(handle.IsCompleted);
        Assert.Equal(0, _arrivals);
        _point.IsReached = true;
        Assert.True(handle.Wait(TimeSpan.Zero));
        Assert.True(handle.Wait(Timeout.InfiniteTimeSpan));
        Assert.Equal(2, _arrivals);
    }

    [Fact]
    public void A_token_ends_the_wait_while_the_device_is_not_done()
    {
        CollectiveHandle handle = Enqueued();
        using CancellationTokenSource source = new(TimeSpan.FromMilliseconds(20));
        Assert.Throws<OperationCanceledException>(() => handle.Wait(source.Token));
        Assert.Equal(0, _arrivals);
    }

    [Fact]
    public void A_token_that_nobody_cancels_waits_until_the_device_is_done()
    {
        CollectiveHandle handle = Enqueued();
        using CancellationTokenSource source = new();
        Thread device = new(() =>
        {
            Thread.Sleep(20);
            _point.IsReached = true;
        });
        device.Start();
        handle.Wait(source.Token);
        Assert.True(handle.IsCompleted);
        Assert.Equal(1, _arrivals);
        device.Join();
    }

    private CollectiveHandle Enqueued()
    {
        CollectiveHandle handle = new(CollectiveVerb.Barrier) { Enqueued = _point, Arrive = () => _arrivals++ };
        handle.Complete(null, 1, 1);
        return handle;
    }

    private sealed class Point : StreamEvent
    {
        internal volatile bool IsReached;

        public override bool IsCompleted => IsReached;

        public override void Synchronize() => throw new InvalidOperationException("blocks for ever");
    }
}
