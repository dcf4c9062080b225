using System.Globalization;
using DistTrain.Runtime;
using Spectre.Console;

namespace DistTrain.Cli;

/// <summary>
/// Shows training on stderr: a bar with loss, samples/s and the time left on a terminal, a line every few seconds elsewhere.
/// The bar is drawn by a thread of its own; training only hands it numbers.
/// </summary>
internal sealed class ProgressDisplay : ITrainingCallback
{
    private static readonly TimeSpan s_lineInterval = TimeSpan.FromSeconds(5);
    private readonly ProgressTask? _bar;
    private long _firstStep, _stepCount;
    private TimeSpan _nextLine = TimeSpan.FromSeconds(2);

    private ProgressDisplay(ProgressTask? bar) => _bar = bar;

    /// <summary>Runs the work with a display that fits stderr.</summary>
    public static T Run<T>(Func<ProgressDisplay, T> work)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(Console.Error) });
        if (Console.IsErrorRedirected || !console.Profile.Capabilities.Interactive) return work(new ProgressDisplay(null));
        return console.Progress()
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn())
            .Start(context => work(new ProgressDisplay(context.AddTask("training"))));
    }

    public void OnTrainingBegin(long firstStep, long stepCount, int batchCount)
    {
        (_firstStep, _stepCount) = (firstStep, stepCount);
        if (_bar is not null) _bar.MaxValue = Math.Max(1, stepCount - firstStep);
    }

    public void OnStepEnd(in StepMetrics metrics)
    {
        long done = metrics.Step + 1 - _firstStep;
        if (_bar is not null) _bar.Value = done;
        if (metrics.IntervalLoss is not { } loss) return;
        if (_bar is not null) _bar.Description = string.Create(CultureInfo.InvariantCulture, $"epoch {metrics.Epoch + 1}  loss {loss:F4}  {metrics.SamplesPerSecond:N0} samples/s");
        else if (metrics.Elapsed >= _nextLine) WriteLine(metrics, loss, done);
    }

    /// <summary>Prints a line above the bar, or simply a line.</summary>
    public static void Say(string line) => Console.Error.WriteLine(line);

    private void WriteLine(in StepMetrics metrics, float loss, long done)
    {
        _nextLine = metrics.Elapsed + s_lineInterval;
        TimeSpan left = metrics.Elapsed * ((double)(_stepCount - metrics.Step - 1) / Math.Max(1, done));
        Say(string.Create(CultureInfo.InvariantCulture,
            $"step {metrics.Step + 1}/{_stepCount}  epoch {metrics.Epoch + 1}  loss {loss:F4}  {metrics.SamplesPerSecond:N0} samples/s  {left:mm\\:ss} left"));
    }
}
