using System.Globalization;
using System.Text;
using DistTrain.Collectives;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Bench;

/// <summary>One process of a <see cref="WorkerTrainee"/>: answers each line of its input with a line, as peers do, until its input ends.</summary>
public static class WorkerRank
{
    /// <summary>The option that makes the program one: rank, ranks, address, model and batch follow.</summary>
    public const string Option = "--worker";

    internal const string Steps = "steps", Reduction = "reduction", Exposed = "exposed";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    /// <summary>Runs to the end of the input.</summary>
    public static int Run(IReadOnlyList<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(arguments);
        if (arguments.Count != 5 || !int.TryParse(arguments[0], CultureInfo.InvariantCulture, out int rank) || !int.TryParse(arguments[1], CultureInfo.InvariantCulture, out int ranks) || !int.TryParse(arguments[4], CultureInfo.InvariantCulture, out int batch))
            throw new UsageException($"{Option} is for processes that this program starts: RANK RANKS ADDRESS MODEL BATCH");
        // The others are started after this line: joining comes with the first question.
        Console.WriteLine($"ready rank {rank} of {ranks}");
        TrainingSession? session = null;
        using CommunicationMeter meter = new();
        (double Reduction, double Exposed) spent = default;
        try
        {
            while (Console.ReadLine() is { } line)
            {
                string[] words = line.Split(' ');
                session ??= Join(rank, ranks, arguments[2], arguments[3], batch, meter);
                double answer = words[1] switch
                {
                    Reduction => spent.Reduction,
                    Exposed => spent.Exposed,
                    _ => session.Run(int.Parse(words[2], CultureInfo.InvariantCulture)),
                };
                // Only rank 0 of the job has the tag that the meter listens for.
                if (words[1] == Steps) spent = meter.Take();
                Console.WriteLine(answer.ToString("e9", CultureInfo.InvariantCulture));
            }
        }
        finally
        {
            session?.Dispose();
        }
        return 0;
    }

    private static TrainingSession Join(int rank, int ranks, string address, string model, int batch, CommunicationMeter meter)
    {
        ComputeDevice device = DeviceCatalog.Open($"cpu:{rank}/{ranks}");
        ICommunicator communicator = Communicator.SharedMemory(rank, ranks, address, Encoding.UTF8.GetBytes("bench"), new CommunicatorOptions { Timeout = s_patience });
        TrainingSession session = new(new MultiWorkerMirroredStrategy(device, communicator, ownsDevice: true), model, batch);
        meter.Take();
        return session;
    }
}
