namespace DistTrain.Ingest;

/// <summary>How a dataset in files is divided among replicas: the policies of tf.data's auto-sharding.</summary>
public enum ShardPolicy
{
    /// <summary><see cref="File"/> where there are at least as many files as replicas and they divide evenly, else <see cref="Data"/>.</summary>
    Auto,

    /// <summary>Each replica reads files of its own, every n-th of them. Nothing is read twice; batches differ with the number of replicas.</summary>
    File,

    /// <summary>Each replica takes its rows of every batch. The same batches on any number of replicas; data without an index are read by all.</summary>
    Data,

    /// <summary>Each replica reads every batch and uses its rows of it.</summary>
    Off,
}
