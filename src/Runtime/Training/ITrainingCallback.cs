namespace DistTrain.Runtime;

/// <summary>Hears of training as it goes: progress bars, logs, checkpoints. Called on the training thread; an exception ends training.</summary>
public interface ITrainingCallback
{
    /// <summary>Before the first step.</summary>
    /// <param name="firstStep">The step that comes first.</param>
    /// <param name="stepCount">The step at which training will end.</param>
    /// <param name="batchCount">Batches in an epoch.</param>
    void OnTrainingBegin(long firstStep, long stepCount, int batchCount)
    {
    }

    /// <summary>Before an epoch's first step of this run.</summary>
    void OnEpochBegin(int epoch)
    {
    }

    /// <summary>Before a step.</summary>
    void OnStepBegin(long step)
    {
    }

    /// <summary>After a step's work was enqueued; after it was done where the metrics hold a loss.</summary>
    void OnStepEnd(in StepMetrics metrics)
    {
    }

    /// <summary>After an epoch's last step, when its work is done. The place to evaluate and to save.</summary>
    void OnEpochEnd(EpochMetrics metrics)
    {
    }

    /// <summary>After the last step.</summary>
    void OnTrainingEnd(TrainingResult result)
    {
    }
}
