using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>The tuner's decisions as a pure function: times in seconds, one consumer element.</summary>
public sealed class TuningPlanTests
{
    private static readonly TuningGoal s_goal = new(ConsumerTime: 0.010, Interval: 0.020, MemoryBudget: 1e9, ProcessorLoad: 0.1);

    private static StageReading Stage(string name, int threads, double parallel, double serial = 0, int most = 64, bool isAuto = true, double bytes = 100, int buffer = 1,
        bool isBufferAuto = false, double waited = 0, int idleLooks = 0, int least = 1) =>
        new(name, threads, least, most, isAuto, buffer, 2, isBufferAuto, serial, parallel, bytes, waited, idleLooks);

    [Fact]
    public void The_slowest_stage_is_raised_until_the_consumer_is_fed_at_most_doubling()
    {
        (IReadOnlyList<TuningChange> changes, string reason) = TuningPlan.Decide([Stage("Map", 4, 0.050), Stage("Interleave", 1, 0.005)], s_goal);
        TuningChange change = Assert.Single(changes);
        Assert.Equal((0, false, 4, 6), (change.Stage, change.IsBuffer, change.From, change.To));
        Assert.Equal("one element took 12.5 ms, 8.3 ms with 6 threads; the consumer takes 10.0 ms", change.Reason);
        Assert.Equal("the consumer is fed: it takes 10.0 ms an element, the slowest stage, Map, 8.3 ms", reason);
        Assert.Equal((1, 2), Assert.Single(TuningPlan.Decide([Stage("Map", 1, 0.500)], s_goal).Changes) is var c ? (c.From, c.To) : default);
    }

    [Fact]
    public void Stages_are_raised_in_turn_while_each_is_the_slowest()
    {
        IReadOnlyList<TuningChange> changes = TuningPlan.Decide([Stage("Map", 2, 0.030), Stage("Interleave", 2, 0.024)], s_goal).Changes;
        Assert.Equal([(0, 4), (1, 3)], changes.Select(c => (c.Stage, c.To)));
    }

    [Fact]
    public void Nothing_is_raised_when_the_consumer_is_fed()
    {
        (IReadOnlyList<TuningChange> changes, string reason) = TuningPlan.Decide([Stage("Map", 4, 0.036)], s_goal);
        Assert.Empty(changes);
        Assert.StartsWith("the consumer is fed", reason);
    }

    [Fact]
    public void It_stops_at_a_stage_set_by_hand_at_serial_input_at_no_more_work_and_at_busy_processors()
    {
        Assert.Equal("Map with 2 threads, a number given by hand, takes 25.0 ms an element and holds back the rest", TuningPlan.Decide([Stage("Map", 2, 0.050, isAuto: false)], s_goal).StopReason);
        Assert.Equal("Prefetch takes its input one element after the other, 50.0 ms each: more threads can't help",
            TuningPlan.Decide([Stage("Prefetch", 1, 0, serial: 0.050, most: 1, isAuto: false)], s_goal).StopReason);
        Assert.Equal("Map takes its input one element after the other, 50.0 ms each: more threads can't help", TuningPlan.Decide([Stage("Map", 2, 0.001, serial: 0.050)], s_goal).StopReason);
        Assert.Equal("Interleave has no work for more than 4 threads", TuningPlan.Decide([Stage("Interleave", 4, 0.500, most: 4)], s_goal).StopReason);
        Assert.Equal("the processors are busy (97 %)", TuningPlan.Decide([Stage("Map", 2, 0.050)], s_goal with { ProcessorLoad = 0.97 }).StopReason);
    }

    [Fact]
    public void A_plan_that_could_hold_more_than_the_budget_is_not_applied_at_all()
    {
        // 2 elements a thread: 4 MB now, 6 MB with one thread more.
        (IReadOnlyList<TuningChange> changes, string reason) = TuningPlan.Decide([Stage("Map", 2, 0.050, bytes: 1e6), Stage("Other", 1, 0.012)], s_goal with { MemoryBudget = 5e6 });
        Assert.Empty(changes);
        Assert.Equal("the memory budget of 4.8 MiB allows no more", reason);
    }

    [Fact]
    public void Threads_are_given_back_one_at_a_time_after_having_been_idle_for_long_and_never_below_what_was_too_few()
    {
        Assert.Empty(TuningPlan.Decide([Stage("Map", 4, 0.008, idleLooks: 5)], s_goal).Changes);
        TuningChange change = Assert.Single(TuningPlan.Decide([Stage("Map", 4, 0.008, idleLooks: 6)], s_goal).Changes);
        Assert.Equal((4, 3), (change.From, change.To));
        Assert.Empty(TuningPlan.Decide([Stage("Map", 4, 0.008, idleLooks: 6, least: 4)], s_goal).Changes);
        Assert.Empty(TuningPlan.Decide([Stage("Map", 4, 0.008, idleLooks: 6, isAuto: false)], s_goal).Changes);
    }

    [Fact]
    public void A_buffer_that_is_waited_for_without_need_is_doubled_within_the_budget()
    {
        StageReading prefetch = Stage("Prefetch", 1, 0.001, most: 1, isAuto: false, buffer: 4, isBufferAuto: true, waited: 0.2, bytes: 1e6);
        TuningChange change = Assert.Single(TuningPlan.Decide([prefetch], s_goal).Changes);
        Assert.Equal((true, 4, 8), (change.IsBuffer, change.From, change.To));
        Assert.Empty(TuningPlan.Decide([prefetch], s_goal with { MemoryBudget = 7e6 }).Changes);
        Assert.Empty(TuningPlan.Decide([prefetch with { WaitShare = 0.01 }], s_goal).Changes);
        Assert.Empty(TuningPlan.Decide([prefetch with { IsBufferAuto = false }], s_goal).Changes);
        // Waited for because its work takes long: a larger buffer does not help.
        Assert.Empty(TuningPlan.Decide([prefetch with { Serial = 0.020 }], s_goal).Changes);
    }

    [Fact]
    public void A_pipeline_without_stages_has_nothing_to_tune() => Assert.Equal("there is no stage to tune", TuningPlan.Decide([], s_goal).StopReason);

    [Theory]
    [InlineData(5e-9, "5 ns")]
    [InlineData(1.25e-5, "12.5 µs")]
    [InlineData(0.0421, "42.1 ms")]
    [InlineData(3, "3.00 s")]
    public void Times_are_written_for_people(double seconds, string text) => Assert.Equal(text, TuningPlan.Time(seconds));
}
