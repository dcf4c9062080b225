using System.Runtime.InteropServices;

namespace DistTrain.Cli.Tests;

/// <summary>Signals are handled on threads that may get a processor late: whoever has them then gets them.</summary>
public sealed class InterruptionTests
{
    [Theory]
    [InlineData(PosixSignal.SIGINT, 130)]
    [InlineData(PosixSignal.SIGTERM, 143)]
    public void A_signal_before_the_hand_over_ends_who_would_take_them(PosixSignal signal, int code)
    {
        using Interruption interruption = new();
        PosixSignalContext context = new(signal);
        interruption.Handle(context);
        Assert.Throws<OperationCanceledException>(() => interruption.HandTo(_ => Assert.Fail("it came before")));
        Assert.Equal((true, code), (context.Cancel, interruption.ExitCode));
    }

    [Fact]
    public void A_signal_after_the_hand_over_is_the_heirs_alone_until_it_is_given_back()
    {
        using Interruption interruption = new();
        List<PosixSignal> taken = [];
        interruption.HandTo(context => taken.Add(context.Signal));
        interruption.Handle(new PosixSignalContext(PosixSignal.SIGTERM));
        interruption.Handle(new PosixSignalContext(PosixSignal.SIGINT));
        Assert.Equal([PosixSignal.SIGTERM, PosixSignal.SIGINT], taken);
        Assert.False(interruption.Token.IsCancellationRequested);
        interruption.HandTo(null);
        interruption.Handle(new PosixSignalContext(PosixSignal.SIGINT));
        Assert.True(interruption.Token.IsCancellationRequested);
        Assert.Equal(2, taken.Count);
    }
}
