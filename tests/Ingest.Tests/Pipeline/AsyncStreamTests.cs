using System.Collections.Concurrent;
using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>What works in the background: nothing is held back, nothing is left behind.</summary>
public sealed class AsyncStreamTests
{
    public static TheoryData<string> Kinds => ["Prefetch", "Map 1", "Map 3", "Map 3 unordered", "Interleave", "Interleave unordered"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void An_element_is_given_although_the_next_one_is_long_in_coming(string kind)
    {
        // The source goes on only when the consumer has had the element before: whatever holds one back hangs.
        List<long> found = [];
        using BlockingCollection<long> questions = [0];
        using DatasetIterator<long> run = InBackground(kind, Dataset.FromEnumerable(questions.GetConsumingEnumerable())).Iterate();
        for (long n = 0; n < 20; n++)
        {
            Assert.True(run.TryNext(out long element));
            found.Add(element);
            // Now and then several at once, so that a run of them is begun.
            if (n % 5 == 4) for (long i = 1; i <= 5; i++) questions.Add(n + i);
            else if (n == 0) for (long i = 1; i <= 4; i++) questions.Add(i);
        }
        questions.CompleteAdding();
        while (run.TryNext(out long element)) found.Add(element);
        if (kind.Contains("unordered", StringComparison.Ordinal)) found.Sort();
        Assert.Equal(Sources.Numbers(25), found);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Cancelling_ends_a_wait_and_every_thread(string kind)
    {
        List<Thread> threads = [];
        using CancellationTokenSource stop = new();
        DatasetIterator<long> run = InBackground(kind, Sources.Blocking(5, threads)).Iterate(cancellation: stop.Token);
        for (int i = 0; i < 5; i++) Assert.True(run.TryNext(out _));
        using Timer timer = new(_ => stop.Cancel(), null, 20, Timeout.Infinite);
        Assert.Throws<OperationCanceledException>(() => run.TryNext(out _));
        run.Dispose();
        Assert.NotEmpty(threads);
        Assert.All(threads, thread => Assert.False(thread.IsAlive));
        Assert.Throws<ObjectDisposedException>(() => run.TryNext(out _));
    }

    [Fact]
    public void All_threads_work_although_none_has_finished_an_element_yet()
    {
        const int Threads = 8;
        for (int i = 0; i < 20; i++)
        {
            using CountdownEvent missing = new(Threads);
            using CancellationTokenSource stop = new(TimeSpan.FromSeconds(30));
            using DatasetIterator<long> run = Dataset.Range(Threads).Map((n, context) =>
            {
                missing.Signal();
                missing.Wait(context.Cancellation);
                return n;
            }, Threads).Iterate(cancellation: stop.Token);
            Assert.Equal(Sources.Numbers(Threads), Sources.Drain(run));
        }
    }

    [Fact]
    public void An_input_that_can_not_be_saved_can_be_read_ahead()
    {
        Dataset<long> unordered = Dataset.Range(50).Map(n => n, 2, deterministic: false).Prefetch(4);
        using DatasetIterator<long> run = unordered.Iterate();
        Assert.True(run.TryNext(out _));
        Assert.Contains("deterministic: false", Assert.Throws<NotSupportedException>(() => run.Save()).Message, StringComparison.Ordinal);
        Assert.Equal(49, Sources.Drain(run).Count);

        // The shuffle's elements have no codec: nobody asks for one before the state is asked for.
        using DatasetIterator<Version> objects = Sources.Stream(20).Map(n => new Version((int)n, 0)).Shuffle(5, 1).Prefetch(4).Iterate();
        Assert.True(objects.TryNext(out _));
        Assert.Contains("codec", Assert.Throws<IngestException>(() => objects.Save()).Message, StringComparison.Ordinal);
        while (objects.TryNext(out _)) { }
    }

    [Fact]
    public void A_slow_consumer_finds_no_more_than_the_buffer_holds()
    {
        Gauge gauge = new();
        using (DatasetIterator<Counted> run = Dataset.Range(1000).Map(gauge.Make).Prefetch(7).Iterate())
        {
            for (int i = 0; i < 100; i++)
            {
                Assert.True(run.TryNext(out Counted? element));
                if (i % 10 == 0) Thread.Sleep(1);
                element.Dispose();
            }
        }
        // Ready or in work, and the one the consumer has.
        Assert.InRange(gauge.Peak, 1, 8);
        Assert.Equal((0, 0), (gauge.Live, gauge.DisposedTwice));
    }

    [Fact]
    public void Threads_hold_no_more_than_two_elements_each()
    {
        Gauge gauge = new();
        using (DatasetIterator<Counted> run = Dataset.Range(300).Map(gauge.Make, 3).Iterate())
            for (int i = 0; i < 200; i++)
            {
                Assert.True(run.TryNext(out Counted? element));
                if (i % 20 == 0) Thread.Sleep(1);
                element.Dispose();
            }
        Assert.InRange(gauge.Peak, 1, 7);
        Assert.Equal((0, 0), (gauge.Live, gauge.DisposedTwice));
    }

    [Fact]
    public void A_function_that_does_not_stop_is_named_and_what_it_held_comes_back_when_it_does()
    {
        Gauge gauge = new();
        using ManualResetEventSlim begun = new(), end = new();
        Dataset<Counted> stuck = Dataset.Range(40).Map(gauge.Make).Map(Wait, 2);
        DatasetIterator<Counted> run = stuck.Prefetch(3).Iterate(new IngestOptions { StopTimeout = TimeSpan.FromMilliseconds(50) });
        Assert.True(run.TryNext(out Counted? first));
        begun.Wait(TestContext.Current.CancellationToken);
        IngestException error = Assert.Throws<IngestException>(run.Dispose);
        Assert.Equal("Map", error.Operator);
        Assert.Contains("0.1 s", error.Message, StringComparison.Ordinal);
        end.Set();
        first.Dispose();
        Assert.True(SpinWait.SpinUntil(() => gauge.Live == 0, TimeSpan.FromSeconds(10)), $"{gauge.Live} elements live");
        Assert.Equal(0, gauge.DisposedTwice);

        Counted Wait(Counted element)
        {
            if (element.Value < 3) return element;
            begun.Set();
            end.Wait();
            return element;
        }
    }

    [Fact]
    public void What_a_callback_of_the_users_throws_keeps_no_pipeline_from_stopping()
    {
        Gauge gauge = new();
        Dataset<Counted> dataset = Dataset.Range(100).Map((n, context) =>
        {
            if (n == 3) context.Cancellation.Register(() => throw new InvalidOperationException("in the callback"));
            return gauge.Make(n);
        }, 2).Prefetch(3);
        using (DatasetIterator<Counted> run = dataset.Iterate())
            for (int i = 0; i < 10 && run.TryNext(out Counted? element); i++) element.Dispose();
        Assert.Equal(0, gauge.Live);
    }

    [Fact]
    public void An_element_that_can_not_tell_its_size_is_given_all_the_same() =>
        Assert.Equal([0, 1, 2, 3, 4], Dataset.Range(5).Map(n => new Unsized(n), 2).Prefetch(2).Map(e => e.Value));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_function_cancelled_by_others_than_the_pipeline_has_failed(bool inBackground)
    {
        Func<long, long> map = n => n == 3 ? throw new TaskCanceledException("the request timed out") : n;
        Dataset<long> dataset = inBackground ? Dataset.Range(6).Map(map, 2) : Dataset.Range(6).Map(map);
        Assert.Equal([0, 1, 2, -4, 4, 5], Sources.Drain(dataset));
        Assert.Equal([0, 1, 2, 4, 5], Sources.Drain(dataset.IgnoreErrors()));
        Assert.Equal([0, 1, 2, -4, 4, 5], Sources.Drain(Dataset.Range(6).Filter(n => map(n) == n)));
    }

    [Theory]
    [InlineData("Prefetch", "Map")]
    [InlineData("Map 3", "Map")]
    [InlineData("Interleave", "Map")]
    public void An_error_names_the_operator_and_the_element_and_the_run_goes_on_behind_it(string kind, string operatorName)
    {
        InvalidDataException cause = new("a bad one");
        using DatasetIterator<long> run = InBackground(kind, Sources.Stream(10).Map(n => n == 6 ? throw cause : n)).Iterate();
        for (int i = 0; i < 6; i++) Assert.True(run.TryNext(out _));
        IngestException error = Assert.Throws<IngestException>(() => run.TryNext(out _));
        Assert.Equal((operatorName, 6L), (error.Operator, error.ElementIndex));
        Assert.Same(cause, error.InnerException);
        Assert.Equal([7, 8, 9], Sources.Drain(run));
    }

    [Fact]
    public void What_was_skipped_before_the_threads_began_counts_in_a_saved_position() =>
        CheckpointChecker.Check(() => Dataset.Range(30).Prefetch(4).Zip(Sources.Stream(30)).Skip(7).Map(pair => (1000 * pair.First) + pair.Second));

    private readonly record struct Unsized(long Value) : ISized
    {
        public long ByteCount => throw new NotSupportedException("of unknown size");
    }

    private static Dataset<long> InBackground(string kind, Dataset<long> input) => kind switch
    {
        "Prefetch" => input.Prefetch(16),
        "Map 1" => input.Map(n => n, 1),
        "Map 3" => input.Map(n => n, 3),
        "Map 3 unordered" => input.Map(n => n, 3, deterministic: false),
        "Interleave" => Dataset.Range(1).Interleave(_ => input, 3, 2, 2),
        _ => Dataset.Range(1).Interleave(_ => input, 3, 2, 2, deterministic: false),
    };
}
